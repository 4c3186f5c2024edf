# Evaluates our modules without nixpkgs. `case` is JSON: the module (nixos, darwin, or home with
# `mac` for a home on macOS) and what a user defines below services.nixfleet.
{
  root,
  case ? "{}",
}:

let
  lib = import ./lib.nix;
  told = builtins.fromJSON case;
  program = name: {
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
    meta.mainProgram = name;
    type = "derivation";
  };
  pkgs = {
    git = program "git";
    gnupg = program "gnupg";
    openssh = program "openssh";
    stdenv = {
      hostPlatform.isDarwin = told.mac or false;
      buildPlatform.canExecute = _: true;
    };
    # What would be built: a test runs it.
    runCommand = name: environment: script: { inherit name environment script; };
  };
  packageFor = _: program "nixfleet";
  base = {
    networking.hostName = "thishost";
    home = {
      username = "me";
      homeDirectory = "/home/me";
    };
    nix.package = program "nix";
    systemd.package = program "systemd";
  };
  module = which: import (root + "/${which}-module.nix") { inherit packageFor; };
  evaluate =
    which: defined:
    lib.evalModule {
      module = module which;
      inherit defined base pkgs;
    };
in
{
  result =
    let
      made = evaluate told.module told.defined;
    in
    {
      inherit (made) config errors;
    };

  options = lib.describe [ "services" "nixfleet" ] (evaluate "nixos" { }).options.services.nixfleet;
}
