# Stands in for nixpkgs, so that our flake can be shown without a network.
{
  outputs =
    { self }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      lib = import ./lib.nix;
      packages =
        system:
        let
          build =
            name:
            derivation {
              inherit name system;
              builder = "/bin/sh";
              args = [
                "-c"
                "echo > $out"
              ];
            };
          pkgs = {
            inherit lib;
            cargo = build "cargo";
            clippy = build "clippy";
            cacert = build "cacert";
            dockerTools = {
              buildLayeredImage =
                { name, config, ... }: assert config.User == "10001:10001"; build "${name}.tar.gz";
              fakeNss = build "fake-nss";
            };
            git = build "git";
            gitMinimal = build "git-minimal";
            installShellFiles = build "install-shell-files";
            jq = build "jq";
            openssh = build "openssh";
            rustc = build "rustc" // {
              version = "1.91.0";
            };
            rustfmt = build "rustfmt";
            rustPlatform.buildRustPackage =
              {
                pname,
                version,
                meta,
                ...
              }:
              build "${pname}-${version}" // { inherit meta; };
            callPackage =
              file: more:
              let
                f = import file;
              in
              f (builtins.intersectAttrs (builtins.functionArgs f) pkgs // more);
            mkShell = _: build "shell";
            runCommand =
              name: _: _:
              build name;
            testers.runNixOSTest = test: build "vm-test-${test.name}";
            stdenv = {
              buildPlatform.canExecute = _: true;
              hostPlatform.isLinux = lib.hasSuffix "linux" system;
            };
          };
        in
        pkgs;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs systems packages;
    };
}
