# nixfleet with home-manager alone: the agent of one user's home, on Linux and on macOS.
{ packageFor }:

{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.nixfleet;
  own = cfg.agent;
  service = import ./nix/service.nix {
    inherit lib cfg;
    # A user's configuration is called like no machine, often `me@machine`.
    hostName = null;
    platform = "home-manager";
  };
  options = import ./nix/options.nix {
    inherit lib;
    packages.nixfleet = packageFor pkgs;
  };
  aliases = import ./nix/aliases.nix { inherit lib; };
  settingsCheck = import ./nix/settings-check.nix { inherit lib pkgs; };
  inherit (import ./nix/systemd.nix { inherit lib; }) literal watched;

  isDarwin = pkgs.stdenv.hostPlatform.isDarwin;
  home = config.home.homeDirectory;
  log = "${home}/Library/Logs/nixfleet-agent.log";

  # Home-manager and Nix have to be found, whoever installed them.
  path = lib.concatStringsSep ":" (
    [
      "${pkgs.git}/bin"
      "${pkgs.openssh}/bin"
    ]
    ++ lib.optional (own.signersKeyring != null) "${pkgs.gnupg}/bin"
    ++ [
      "${home}/.nix-profile/bin"
      "${home}/.local/state/nix/profile/bin"
      "/etc/profiles/per-user/${config.home.username}/bin"
      "/run/current-system/sw/bin"
      "/nix/var/nix/profiles/default/bin"
      "/usr/local/bin"
      "/usr/bin"
      "/bin"
    ]
  );
  # The files are the user's own, and named: a user's service has no credentials everywhere.
  environment = {
    PATH = path;
  }
  // service.agent.environment
  // service.agent.secrets;
  quoted = name: value: literal (builtins.toJSON "${name}=${value}");
in
{
  imports = aliases.agent;

  options.services.nixfleet = {
    inherit (options) allowSecretsInStore agent;
  };

  config = lib.mkMerge [
    (lib.mkIf own.enable {
      inherit (service.agent) assertions;
      # Home-manager has no list of checks: what a home depends on is built with it.
      home.extraDependencies = settingsCheck "agent" own.package service.agent.environment;
    })

    (lib.mkIf (own.enable && !isDarwin) {
      systemd.user.services.nixfleet-agent = {
        Unit = {
          Description = "nixfleet agent";
          StartLimitIntervalSec = 0;
          # Restarted when all else is done. Its jobs run in units of their own and go on.
          X-SwitchMethod = "restart";
        };
        Service = watched // {
          ExecStart = "${lib.getExe own.package} --agent";
          Environment = lib.mapAttrsToList quoted environment;
          EnvironmentFile = map literal own.environmentFiles;
          UMask = "0077";
        };
        Install.WantedBy = [ "default.target" ];
      };
    })

    (lib.mkIf (own.enable && isDarwin) {
      assertions = [
        {
          assertion = own.environmentFiles == [ ];
          message = "services.nixfleet.agent.environmentFiles: launchd reads no such files. Use the options for single secrets.";
        }
      ];
      launchd.agents.nixfleet-agent = {
        enable = true;
        config = {
          # Home-manager makes it wait until the store is mounted.
          ProgramArguments = [
            (lib.getExe own.package)
            "--agent"
          ];
          EnvironmentVariables = environment;
          KeepAlive = true;
          RunAtLoad = true;
          AbandonProcessGroup = true;
          ProcessType = "Background";
          Umask = 63; # 0077
          StandardOutPath = log;
          StandardErrorPath = log;
        };
      };
    })
  ];

  meta.maintainers = [ ];
}
