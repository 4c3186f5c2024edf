# Options under the names that they had before.
{ lib }:

let
  below = path: [ "services" "nixfleet" ] ++ path;
  settings =
    role:
    lib.mkAliasOptionModule (below [
      role
      "settings"
    ]) (below [
      role
      "environment"
    ]);
  oneFile = below [
    "dashboard"
    "environmentFile"
  ];
in
{
  dashboard = [
    (settings "dashboard")
    (lib.mkChangedOptionModule oneFile (below [
      "dashboard"
      "environmentFiles"
    ]) (config: lib.filter (file: file != null) [ (lib.getAttrFromPath oneFile config) ]))
  ];
  agent = [ (settings "agent") ];
}
