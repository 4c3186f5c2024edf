# How values get into a unit of systemd as they are.
{ lib }:

rec {
  # systemd reads `%` as the beginning of a specifier.
  literal = builtins.replaceStrings [ "%" ] [ "%%" ];
  literals = lib.mapAttrs (_: literal);

  # systemd hands each secret to the unit alone, whoever owns the file.
  credential =
    variable: lib.toLower (lib.removeSuffix "_FILE" (lib.removePrefix "NIXFLEET_" variable));
  credentials = lib.mapAttrsToList (variable: file: "${credential variable}:${literal file}");
  credentialPaths = lib.mapAttrs (variable: _: "%d/${credential variable}");

  watched = {
    Type = "notify";
    NotifyAccess = "main";
    WatchdogSec = 60;
    Restart = "always";
    RestartSec = 2;
  };
}
