# Writes units as NixOS and home-manager do.
{ lib }:

let
  line =
    name: value:
    if builtins.isList value then
      builtins.concatStringsSep "" (map (line name) value)
    else if builtins.isBool value then
      "${name}=${if value then "true" else "false"}\n"
    else
      "${name}=${toString value}\n";
  lines = attrs: builtins.concatStringsSep "" (lib.mapAttrsToList line attrs);
  given = lib.filterAttrs (_: value: value != null);

in
{
  # `systemd.services.<name>` of NixOS in, the unit's text out. `base` is what NixOS puts into
  # every service's PATH.
  service =
    base: service:
    let
      below = directory: map (package: "${package}/${directory}") ((service.path or [ ]) ++ base);
      path = builtins.concatStringsSep ":" (below "bin" ++ below "sbin");
      environment = {
        PATH = path;
      }
      // given (service.environment or { });
      variable = name: value: "Environment=${builtins.toJSON "${name}=${value}"}\n";

      switching =
        (if service.stopIfChanged or true then { } else { X-StopIfChanged = false; })
        // (if service.restartIfChanged or true then { } else { X-RestartIfChanged = false; });
      unit =
        given {
          Description = service.description or null;
          After = service.after or null;
          Wants = service.wants or null;
          Requires = service.requires or null;
          OnFailure = service.onFailure or null;
          StartLimitIntervalSec = service.startLimitIntervalSec or null;
          StartLimitBurst = service.startLimitBurst or null;
        }
        // (service.unitConfig or { });
    in
    "[Unit]\n"
    + lines unit
    + "\n[Service]\n"
    + builtins.concatStringsSep "" (lib.mapAttrsToList variable environment)
    + lines switching
    + lines service.serviceConfig
    # NixOS makes links of it; the machine of the tests does so too.
    + "\n[Install]\n"
    + lines { WantedBy = service.wantedBy or [ ]; };

  # `systemd.user.services.<name>` of home-manager: its sections as they are.
  sections =
    unit:
    builtins.concatStringsSep "\n" (lib.mapAttrsToList (name: attrs: "[${name}]\n${lines attrs}") unit);
}
