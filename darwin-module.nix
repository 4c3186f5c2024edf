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
    platform = "darwin";
  };
  aliases = import ./nix/aliases.nix { inherit lib; };
  settingsCheck = import ./nix/settings-check.nix { inherit lib pkgs; };
  # nix-darwin has no list of checks: an empty file below /etc makes it build this one.
  checked = role: environment: {
    environment.etc = lib.listToAttrs (
      map (check: {
        name = "nixfleet/${role}-settings-are-fine";
        value.source = check;
      }) (settingsCheck role cfg.${role}.package environment)
    );
  };

  # nix-darwin makes the daemon wait until the store is mounted.
  # launchd has no credentials: the files are named, and only root reads them.
  daemon = package: role: environment: {
    command = "${lib.getExe package} --${role}";
    serviceConfig = serviceConfig role environment;
  };
  serviceConfig = role: environment: {
    EnvironmentVariables = {
      HOME = "/var/root";
      PATH = lib.concatStringsSep ":" (
        [ "${pkgs.git}/bin" ]
        ++ lib.optional (role == "agent" && cfg.agent.signersKeyring != null) "${pkgs.gnupg}/bin"
        ++ [
          "/run/current-system/sw/bin"
          "/nix/var/nix/profiles/default/bin"
          "/usr/bin"
          "/bin"
          "/usr/sbin"
          "/sbin"
        ]
      );
    }
    // environment;
    KeepAlive = true;
    RunAtLoad = true;
    # Jobs run in sessions of their own. They go on while a switch replaces the agent.
    AbandonProcessGroup = true;
    ProcessType = "Background";
    WorkingDirectory = "/";
    Umask = 63; # 0077
    StandardOutPath = log role;
    StandardErrorPath = log role;
  };

  # Five files of a MiB. They are not packed: the daemon writes to the last one until it is started
  # anew, and nobody has to be told (N).
  log = role: "/var/log/nixfleet-${role}.log";
  rotation = role: {
    environment.etc."newsyslog.d/nixfleet-${role}.conf".text = "${log role} root:wheel 640 5 1024 * N\n";
  };

  noFiles = role: {
    assertion = cfg.${role}.environmentFiles == [ ];
    message = "services.nixfleet.${role}.environmentFiles: launchd reads no such files. Use the options for single secrets.";
  };
in
{
  imports = aliases.dashboard ++ aliases.agent;

  options.services.nixfleet = import ./nix/options.nix {
    inherit lib;
    packages.nixfleet = packageFor pkgs;
  };

  config = lib.mkMerge [
    (lib.mkIf cfg.dashboard.enable {
      assertions = service.dashboard.assertions ++ [
        {
          assertion = !cfg.dashboard.openFirewall;
          message = "services.nixfleet.dashboard.openFirewall: nix-darwin manages no firewall. Open the port in the system's settings.";
        }
        (noFiles "dashboard")
      ];
      launchd.daemons.nixfleet-dashboard = daemon cfg.dashboard.package "dashboard" (
        service.dashboard.environment // service.dashboard.secrets
      );
    })

    (lib.mkIf cfg.dashboard.enable (rotation "dashboard"))
    (lib.mkIf cfg.dashboard.enable (checked "dashboard" service.dashboard.environment))

    (lib.mkIf cfg.agent.enable (rotation "agent"))
    (lib.mkIf cfg.agent.enable (checked "agent" service.agent.environment))
    (lib.mkIf cfg.agent.enable {
      assertions = service.agent.assertions ++ [ (noFiles "agent") ];
      launchd.daemons.nixfleet-agent = daemon cfg.agent.package "agent" (
        {
          NIXFLEET_STATE_DIR = "/var/lib/nixfleet-agent";
        }
        // service.agent.environment
        // service.agent.secrets
      );
    })
  ];
  meta.maintainers = [ ];
}
