# Reads the settings with the program that will run with them, when the system is built: what it would
# refuse at its start fails the build. Secrets are not there then, and are not looked for.
{ lib, pkgs }:

role: package: environment:
# What is built for another kind of machine cannot be run here.
lib.optional (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) (
  pkgs.runCommand "nixfleet-${role}-settings" environment ''
    ${lib.getExe package} --${role} --check=settings
    touch $out
  ''
)
