# nixfleet on NixOS: `services.nixfleet.dashboard` and `services.nixfleet.agent`.
{ packageFor }:

{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.nixfleet;
  service = import ./nix/service.nix {
    inherit lib cfg;
    hostName = config.networking.hostName;
  };

  # systemd hands each secret to the unit alone, whoever owns the file.
  credential =
    variable: lib.toLower (lib.removeSuffix "_FILE" (lib.removePrefix "NIXFLEET_" variable));
  credentials = lib.mapAttrsToList (variable: file: "${credential variable}:${file}");
  credentialPaths = lib.mapAttrs (variable: _: "%d/${credential variable}");

  hardening = {
    LockPersonality = true;
    NoNewPrivileges = true;
    PrivateTmp = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectSystem = "strict";
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    UMask = "0077";
  };

  watched = {
    Type = "notify";
    NotifyAccess = "main";
    WatchdogSec = 60;
    Restart = "always";
    RestartSec = 2;
  };

  own = cfg.dashboard;
  inStateDir = lib.hasPrefix "/var/lib/" own.dataDir;
in
{
  options.services.nixfleet = import ./nix/options.nix {
    inherit lib;
    defaultPackage = packageFor pkgs;
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.dashboard.enable {
      inherit (service.dashboard) assertions;

      users.users.nixfleet = {
        isSystemUser = true;
        group = "nixfleet";
        description = "nixfleet dashboard";
      };
      users.groups.nixfleet = { };

      networking.firewall.allowedTCPPorts = lib.mkIf own.openFirewall [ own.port ];

      systemd.tmpfiles.rules = lib.mkIf (!inStateDir) [ "d ${own.dataDir} 0700 nixfleet nixfleet -" ];

      systemd.services.nixfleet-dashboard = {
        description = "nixfleet dashboard";
        wantedBy = [ "multi-user.target" ];
        wants = [ "network-online.target" ];
        after = [ "network-online.target" ];
        path = [
          pkgs.git
          pkgs.openssh
        ];
        environment = service.dashboard.environment // credentialPaths service.dashboard.secrets;
        serviceConfig =
          hardening
          // watched
          // {
            ExecStart = "${lib.getExe own.package} --dashboard";
            User = "nixfleet";
            Group = "nixfleet";
            LoadCredential = credentials service.dashboard.secrets;
            CapabilityBoundingSet = "";
            DevicePolicy = "closed";
            LimitNOFILE = 65536;
            MemoryDenyWriteExecute = true;
            PrivateDevices = true;
            PrivateUsers = true;
            ProcSubset = "pid";
            ProtectHome = true;
            ProtectProc = "invisible";
            RemoveIPC = true;
            RestrictAddressFamilies = [
              "AF_INET"
              "AF_INET6"
              "AF_UNIX"
            ];
            SystemCallFilter = [
              "@system-service"
              "~@privileged"
              "~@resources"
            ];
          }
          // lib.optionalAttrs (own.environmentFile != null) { EnvironmentFile = own.environmentFile; }
          // (
            if inStateDir then
              {
                StateDirectory = lib.removePrefix "/var/lib/" own.dataDir;
                StateDirectoryMode = "0700";
              }
            else
              { ReadWritePaths = [ own.dataDir ]; }
          );
      };
    })

    (lib.mkIf cfg.agent.enable {
      inherit (service.agent) assertions;

      systemd.services.nixfleet-agent = {
        description = "nixfleet agent";
        wantedBy = [ "multi-user.target" ];
        wants = [ "network-online.target" ];
        after = [ "network-online.target" ];

        # A switch brings a new agent: it is restarted at the end, and never down while the
        # system is being activated. Its jobs run in units of their own and go on.
        stopIfChanged = false;

        path = [
          pkgs.git
          pkgs.openssh
          config.nix.package
          config.systemd.package
          "/run/wrappers"
          "/run/current-system/sw"
        ];
        environment = {
          HOME = "/root";
        }
        // service.agent.environment
        // credentialPaths service.agent.secrets;
        serviceConfig =
          hardening
          // watched
          // {
            ExecStart = "${lib.getExe cfg.agent.package} --agent";
            LoadCredential = credentials service.agent.secrets;
            StateDirectory = "nixfleet-agent";
            StateDirectoryMode = "0700";
            # A clone in the place of the agent's own is written to.
            ReadWritePaths = lib.optional (cfg.agent.repoDir != null) cfg.agent.repoDir;
            ProtectHome = "read-only";
          };
      };
    })
  ];
}
