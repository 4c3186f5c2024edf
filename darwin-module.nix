# nixfleet on macOS with nix-darwin: the same options as on NixOS, as launchd daemons.
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

  # launchd has no credentials: the files are named, and only root reads them.
  daemon = package: role: environment: {
    ProgramArguments = [
      (lib.getExe package)
      "--${role}"
    ];
    EnvironmentVariables = {
      HOME = "/var/root";
      PATH = lib.concatStringsSep ":" [
        "${pkgs.git}/bin"
        "/run/current-system/sw/bin"
        "/nix/var/nix/profiles/default/bin"
        "/usr/bin"
        "/bin"
        "/usr/sbin"
        "/sbin"
      ];
    }
    // environment;
    KeepAlive = true;
    RunAtLoad = true;
    # Jobs run in sessions of their own. They go on while a switch replaces the agent.
    AbandonProcessGroup = true;
    ProcessType = "Background";
    WorkingDirectory = "/";
    Umask = 63; # 0077
    StandardOutPath = "/var/log/nixfleet-${role}.log";
    StandardErrorPath = "/var/log/nixfleet-${role}.log";
  };
in
{
  options.services.nixfleet = import ./nix/options.nix {
    inherit lib;
    defaultPackage = packageFor pkgs;
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.dashboard.enable {
      assertions = service.dashboard.assertions ++ [
        {
          assertion = !cfg.dashboard.openFirewall;
          message = "services.nixfleet.dashboard.openFirewall: nix-darwin manages no firewall. Open the port in the system's settings.";
        }
        {
          assertion = cfg.dashboard.environmentFile == null;
          message = "services.nixfleet.dashboard.environmentFile: launchd reads no such file. Use the options for single secrets.";
        }
      ];
      launchd.daemons.nixfleet-dashboard.serviceConfig = daemon cfg.dashboard.package "dashboard" (
        service.dashboard.environment // service.dashboard.secrets
      );
    })

    (lib.mkIf cfg.agent.enable {
      inherit (service.agent) assertions;
      launchd.daemons.nixfleet-agent.serviceConfig = daemon cfg.agent.package "agent" (
        {
          NIXFLEET_STATE_DIR = "/var/lib/nixfleet-agent";
        }
        // service.agent.environment
        // service.agent.secrets
      );
    })
  ];
}
