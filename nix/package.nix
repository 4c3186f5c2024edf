# The one binary. Nothing is fetched at build but what Cargo.lock names.
{
  lib,
  git,
  installShellFiles,
  rustc,
  rustPlatform,
  stdenv,
  commit ? "unknown",
  tests ? { },
}:

let
  needed = (lib.importTOML ../Cargo.toml).package.rust-version;
in
assert lib.assertMsg (lib.versionAtLeast rustc.version needed)
  "nixfleet needs Rust ${needed}, and this nixpkgs has ${rustc.version}: follow a newer one";

rustPlatform.buildRustPackage {
  pname = "nixfleet";
  version = (lib.importTOML ../Cargo.toml).package.version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../schema.sql
      ../benches
      ../src
      ../assets
      ../docs
      ../tests/vendor
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [ installShellFiles ];
  # Made from the options themselves, so the program has to run on the machine that builds it.
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash fish zsh; do
      $out/bin/nixfleet completions $shell > nixfleet.$shell
    done
    installShellCompletion --cmd nixfleet --bash nixfleet.bash --fish nixfleet.fish --zsh nixfleet.zsh
    $out/bin/nixfleet man --to manual
    installManPage manual/*.1
  '';

  # Shown by `GET /api/version` and in the metrics.
  env.NIXFLEET_COMMIT = commit;

  # Black-box tests need a browser and a daemonless Nix: `tests/run` runs them.
  cargoTestFlags = [ "--lib" ];
  # Sources are tested against real repositories.
  nativeCheckInputs = [ git ];

  passthru = {
    inherit tests;
  };

  meta = {
    description = "See in one row per machine whether a NixOS or macOS host is current, and bring it there with a click";
    mainProgram = "nixfleet";
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    maintainers = [ ];
    platforms = lib.platforms.linux ++ lib.platforms.darwin;
  };
}
