# What all modules make of the options: variables, secrets, and what must hold. `platform` is
# what the agent rebuilds.
{
  lib,
  cfg,
  hostName,
  platform,
}:

let
  checks = import ./checks.nix { inherit lib; };

  text =
    value:
    if value == true then
      "true"
    else if value == false then
      "false"
    else
      toString value;
  given = lib.filterAttrs (_: value: value != null);
  variables = attrs: lib.mapAttrs (_: text) (given attrs);

  inStore = path: path != null && lib.hasInfix "${builtins.storeDir}/" path;
  notInStore = name: path: {
    assertion = cfg.allowSecretsInStore || !(inStore path);
    message = "${name}: ${toString path} is in the Nix store, where everybody can read it. Name a file outside of it, for example of sops-nix or agenix.";
  };
  withoutSecret = name: value: {
    assertion = value == null || !(checks.hasSecret value);
    message = "${name}: an address with a password or a token in it would be in the store, where everybody can read it. Use githubTokenFile, a key for ssh, or git's own credentials.";
  };

  common =
    role: own:
    let
      option = name: "services.nixfleet.${role}.${name}";
      # Variables of ours that name a file with a secret.
      files = lib.filterAttrs (name: _: lib.hasSuffix "_FILE" name) own.environment;
    in
    map (name: {
      assertion = !(checks.isSecretName name);
      message = "${option "environment.${name}"}: a secret must not stand here, it would be in the store. Use the option that takes a file.";
    }) (lib.attrNames own.environment)
    ++ lib.mapAttrsToList (name: path: notInStore (option "environment.${name}") (text path)) files
    ++ lib.mapAttrsToList (
      name: value: withoutSecret (option "environment.${name}") (text value)
    ) own.environment
    ++ lib.mapAttrsToList (name: path: notInStore (option name) path) (
      given (lib.filterAttrs (name: _: lib.hasSuffix "File" name) own)
    )
    ++ map (notInStore (option "environmentFiles")) own.environmentFiles
    ++ [
      {
        assertion = checks.isBranch own.branch;
        message = "${option "branch"}: expected the name of a git branch, got \"${own.branch}\".";
      }
    ];
in
{
  dashboard =
    let
      own = cfg.dashboard;
      dataDir = checks.plain own.dataDir;
      address =
        if lib.hasInfix ":" own.listenAddress then "[${own.listenAddress}]" else own.listenAddress;
    in
    {
      inherit dataDir;

      environment =
        variables {
          NIXFLEET_LISTEN = "${address}:${toString own.port}";
          NIXFLEET_DATA_DIR = dataDir;
          NIXFLEET_BASE_URL = own.baseUrl;
          NIXFLEET_TLS_CERT = own.tlsCertificate;
          NIXFLEET_TLS_KEY = own.tlsKey;
          NIXFLEET_SOURCE = own.source;
          NIXFLEET_BRANCH = own.branch;
        }
        // variables own.environment;

      # Variable and file of each secret.
      secrets = given {
        NIXFLEET_PASSWORD_HASH_FILE = own.passwordHashFile;
        NIXFLEET_TOTP_SECRET_FILE = own.totpSecretFile;
        NIXFLEET_SESSION_SECRET_FILE = own.sessionSecretFile;
        NIXFLEET_GITHUB_TOKEN_FILE = own.githubTokenFile;
        NIXFLEET_GITEA_TOKEN_FILE = own.giteaTokenFile;
        NIXFLEET_SSH_KEY = own.sshKeyFile;
        NIXFLEET_AGENT_TOKEN_FILE = own.agentTokenFile;
        NIXFLEET_HOOK_SECRET_FILE = own.hookSecretFile;
      };

      assertions = common "dashboard" own ++ [
        {
          assertion = own.source != null || own.environment ? NIXFLEET_SOURCE || own.environmentFiles != [ ];
          message = "services.nixfleet.dashboard.source must be set: the config repository, for example \"github:you/nixcfg\".";
        }
        {
          assertion = (own.tlsCertificate == null) == (own.tlsKey == null);
          message = "services.nixfleet.dashboard.tlsCertificate and tlsKey belong together: set both, or none.";
        }
        {
          assertion = own.tlsKey == null || cfg.allowSecretsInStore || !lib.hasPrefix builtins.storeDir own.tlsKey;
          message = "services.nixfleet.dashboard.tlsKey is in the Nix store, which everybody can read: ${toString own.tlsKey}.";
        }
        (withoutSecret "services.nixfleet.dashboard.source" own.source)
        (withoutSecret "services.nixfleet.dashboard.baseUrl" own.baseUrl)
        {
          assertion = checks.isOwnDirectory own.dataDir;
          message = "services.nixfleet.dashboard.dataDir: expected a directory for the dashboard alone, such as /var/lib/nixfleet or /srv/nixfleet, without blanks and not below /home, /root or /run/user; got \"${own.dataDir}\".";
        }
        {
          assertion = checks.isAddress own.listenAddress;
          message = "services.nixfleet.dashboard.listenAddress: expected an IP address without brackets, such as 127.0.0.1 or ::, got \"${own.listenAddress}\".";
        }
        {
          assertion =
            !(
              own.openFirewall
              && lib.elem own.listenAddress [
                "127.0.0.1"
                "::1"
              ]
            );
          message = "services.nixfleet.dashboard.openFirewall opens nothing while listenAddress is ${own.listenAddress}. Set listenAddress, or put a reverse proxy in front of it.";
        }
      ];
    };

  agent =
    let
      own = cfg.agent;
      name = if own.hostname != null then own.hostname else hostName;
      repoDir = if own.repoDir == null then null else checks.plain own.repoDir;
    in
    {
      inherit repoDir;

      environment =
        variables {
          NIXFLEET_URL = own.url;
          NIXFLEET_CA = own.caFile;
          # Found out by itself, a machine that looks strange would silently be another kind.
          NIXFLEET_PLATFORM = platform;
          NIXFLEET_REPO_URL = own.repoUrl;
          NIXFLEET_REPO_DIR = repoDir;
          NIXFLEET_BRANCH = own.branch;
          # Jobs of their own read it too, so it is no credential of the agent's unit.
          NIXFLEET_SSH_KEY = own.sshKeyFile;
          NIXFLEET_INTERVAL = own.interval;
          NIXFLEET_HOSTNAME = name;
          NIXFLEET_LOCATION = own.location;
          NIXFLEET_DEVICE_TYPE = own.deviceType;
          NIXFLEET_THEME_COLOR = own.themeColor;
          NIXFLEET_TAGS = if own.tags == [ ] then null else lib.concatStringsSep " " own.tags;
          NIXFLEET_TESTS_ENABLED = own.tests.enable;
          NIXFLEET_TESTS_AUTO_RUN = own.tests.autoRunAfterSwitch;
          NIXFLEET_TEST_TIMEOUT = own.tests.timeout;
          NIXFLEET_CHECK_POWER = own.checkPower;
          NIXFLEET_GUARD = own.guard.enable;
          NIXFLEET_GUARD_REBOOT = own.guard.reboot;
          NIXFLEET_GUARD_IGNORE_UNITS =
            if own.guard.ignoreUnits == [ ] then null else lib.concatStringsSep " " own.guard.ignoreUnits;
          NIXFLEET_GUARD_ACTIVATION = own.guard.activationLimit;
          NIXFLEET_GUARD_WINDOW = own.guard.window;
          NIXFLEET_ALLOWED_SIGNERS = own.allowedSigners;
          NIXFLEET_SIGNERS_KEYRING = own.signersKeyring;
          NIXFLEET_REBUILD_FLAGS =
            if own.rebuildFlags == [ ] then null else lib.concatStringsSep " " own.rebuildFlags;
        }
        // variables own.environment;

      secrets = given { NIXFLEET_TOKEN_FILE = own.tokenFile; };

      assertions = common "agent" own ++ [
        {
          assertion = own.url != null;
          message = "services.nixfleet.agent.url must be set: the dashboard's address, for example \"https://fleet.example.org\".";
        }
        (withoutSecret "services.nixfleet.agent.url" own.url)
        (withoutSecret "services.nixfleet.agent.repoUrl" own.repoUrl)
        {
          assertion = own.tokenFile != null || own.environmentFiles != [ ];
          message = "services.nixfleet.agent.tokenFile must be set: the file with this host's token, which the dashboard shows once when the host is added.";
        }
        {
          assertion = own.repoUrl != null || own.repoDir != null;
          message = "services.nixfleet.agent.repoUrl must be set: the config repository, for example \"git@github.com:you/nixcfg.git\".";
        }
        {
          assertion = !(own.repoUrl != null && own.repoDir != null);
          message = "services.nixfleet.agent.repoUrl and repoDir exclude each other: the agent clones the one, or uses the other.";
        }
        {
          assertion = own.repoDir == null || checks.isPlainPath own.repoDir;
          message = "services.nixfleet.agent.repoDir: expected a path without blanks, colons and quotes, got \"${toString own.repoDir}\".";
        }
        {
          assertion = builtins.length own.tags <= 16;
          message = "services.nixfleet.agent.tags: expected at most 16 tags, got ${toString (builtins.length own.tags)}.";
        }
        {
          assertion = checks.isHostname (toString name);
          message = "services.nixfleet.agent.hostname: expected letters, digits, dots, underscores and hyphens, beginning with a letter or digit, got \"${toString name}\".";
        }
      ];
    };
}
