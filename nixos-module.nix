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
    platform = "nixos";
  };
  aliases = import ./nix/aliases.nix { inherit lib; };
  settingsCheck = import ./nix/settings-check.nix { inherit lib pkgs; };
  inherit (import ./nix/systemd.nix { inherit lib; })
    credentials
    credentialPaths
    literal
    literals
    watched
    ;

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

  # A switch brings a new program: it is restarted at the end, and never down while the system is
  # being activated. However often it failed before, it is started again.
  kept = {
    wantedBy = [ "multi-user.target" ];
    wants = [ "network-online.target" ];
    after = [ "network-online.target" ];
    stopIfChanged = false;
    startLimitIntervalSec = 0;
  };

  own = cfg.dashboard;
  inherit (service.dashboard) dataDir;
  inherit (service.agent) repoDir;
  inStateDir = lib.hasPrefix "/var/lib/" dataDir;
in
{
  imports = aliases.dashboard ++ aliases.agent;

  options.services.nixfleet = import ./nix/options.nix {
    inherit lib;
    packages.nixfleet = packageFor pkgs;
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.dashboard.enable {
      inherit (service.dashboard) assertions;
      system.checks = settingsCheck "dashboard" own.package service.dashboard.environment;

      users.users = lib.mkIf (own.user == "nixfleet") {
        nixfleet = {
          isSystemUser = true;
          inherit (own) group;
          description = "nixfleet dashboard";
        };
      };
      users.groups = lib.mkIf (own.group == "nixfleet") { nixfleet = { }; };

      networking.firewall.allowedTCPPorts = lib.mkIf own.openFirewall [ own.port ];

      systemd.tmpfiles.rules = lib.mkIf (!inStateDir) [
        "d ${literal dataDir} 0700 ${own.user} ${own.group} -"
      ];

      systemd.services.nixfleet-dashboard = kept // {
        description = "nixfleet dashboard";
        path = [
          pkgs.git
          pkgs.openssh
        ];
        environment =
          literals service.dashboard.environment // credentialPaths service.dashboard.secrets;
        serviceConfig =
          hardening
          // watched
          // {
            ExecStart = "${lib.getExe own.package} --dashboard";
            User = own.user;
            Group = own.group;
            EnvironmentFile = map literal own.environmentFiles;
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
          // (
            if inStateDir then
              {
                StateDirectory = literal (lib.removePrefix "/var/lib/" dataDir);
                StateDirectoryMode = "0700";
              }
            else
              { ReadWritePaths = [ (literal dataDir) ]; }
          );
      };
    })

    (lib.mkIf cfg.agent.enable {
      inherit (service.agent) assertions;
      system.checks = settingsCheck "agent" cfg.agent.package service.agent.environment;

      # Its jobs run in units of their own and go on while it is restarted.
      systemd.services.nixfleet-agent = kept // {
        description = "nixfleet agent";
        unitConfig = lib.optionalAttrs (repoDir != null) { RequiresMountsFor = literal repoDir; };
        path = [
          pkgs.git
          pkgs.openssh
          config.nix.package
          config.systemd.package
          "/run/wrappers"
          "/run/current-system/sw"
        ]
        ++ lib.optional (cfg.agent.signersKeyring != null) pkgs.gnupg;
        environment = {
          HOME = "/root";
        }
        // literals service.agent.environment
        // credentialPaths service.agent.secrets;
        serviceConfig =
          hardening
          // watched
          // {
            ExecStart = "${lib.getExe cfg.agent.package} --agent";
            LoadCredential = credentials service.agent.secrets;
            EnvironmentFile = map literal cfg.agent.environmentFiles;
            StateDirectory = "nixfleet-agent";
            StateDirectoryMode = "0700";
            # A clone in the place of the agent's own is written to. Where it is missing the agent
            # starts nevertheless, and says so.
            ReadWritePaths = lib.optional (repoDir != null) "-${literal repoDir}";
            ProtectHome = "read-only";
          };
      };
    })
  ];
  meta.maintainers = [ ];
}
