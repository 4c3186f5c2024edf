# What a value must look like, where a type of its own would say less than a sentence.
{ lib }:

let
  matches = pattern: text: builtins.match pattern text != null;

  # A path's components, without empty ones.
  components =
    path: lib.filter (part: builtins.isString part && part != "") (builtins.split "/" path);

  # Where each name belongs to somebody else already, so that two components are not enough.
  shared = [
    "boot"
    "dev"
    "etc"
    "nix"
    "proc"
    "run"
    "sys"
    "usr"
    "var"
  ];
  # systemd hides these from a service, or empties them at a logout.
  hidden = [
    "/home/"
    "/root/"
    "/run/user/"
  ];
  octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
in
rec {
  # One slash between components, none at the end: what systemd compares.
  plain = path: "/" + lib.concatStringsSep "/" (components path);

  # A path that systemd's lists can carry: they are separated by blanks and colons.
  isPlainPath =
    path:
    matches "/[^[:space:]:\"'\\\\]*" path
    && !(lib.elem "." (components path))
    && !(lib.elem ".." (components path));

  # A directory that a service may take for itself alone.
  isOwnDirectory =
    path:
    let
      parts = components path;
      least = if parts != [ ] && lib.elem (builtins.head parts) shared then 3 else 2;
    in
    isPlainPath path
    && builtins.length parts >= least
    && !(lib.any (directory: lib.hasPrefix directory "${plain path}/") hidden);

  isAddress =
    text:
    matches "${octet}\\.${octet}\\.${octet}\\.${octet}" text
    || matches "[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*" text;

  # As git takes it, and as the program checks it.
  isBranch =
    text:
    matches "[^[:space:]~^:?*[\\]+" text
    && !(matches "[-/.].*|.*[/.]" text)
    && !(lib.hasInfix ".." text)
    && !(lib.hasInfix "//" text);

  isHostname = matches "[a-zA-Z0-9][a-zA-Z0-9._-]*";

  # An address with a password or a token in it: `https://token@...`, `ssh://me:word@...`.
  hasSecret =
    text:
    matches ".*https?://[^/@]*@.*" text
    || matches ".*://[^/@]*:[^/@]*@.*" text
    || matches ".*[?&](access_|private_|auth_)?token=.*" text;

  # A variable that carries a secret itself.
  isSecretName = matches "(.*_)?(TOKEN|SECRET|PASSWORD|PASSWORD_HASH)";
}
