# As much of nixpkgs' `lib` as our modules use, so that they can be evaluated without nixpkgs.
# It checks the types of definitions, as the real one does.
let
  inherit (builtins)
    all
    attrNames
    attrValues
    concatLists
    elem
    elemAt
    filter
    foldl'
    genList
    hasAttr
    isAttrs
    isBool
    isInt
    isList
    isString
    listToAttrs
    map
    mapAttrs
    match
    stringLength
    substring
    ;

  type = description: check: { inherit description check; };

  types = {
    bool = type "boolean" isBool;
    int = type "signed integer" isInt;
    str = type "string" isString;
    port = type "16 bit unsigned integer; between 0 and 65535 (both inclusive)" (
      value: isInt value && value >= 0 && value <= 65535
    );
    package = type "package" (value: isAttrs value && value ? outPath);
    ints.between =
      low: high:
      type "integer between ${toString low} and ${toString high} (both inclusive)" (
        value: isInt value && value >= low && value <= high
      );
    strMatching =
      pattern:
      type "string matching the pattern ${pattern}" (
        value: isString value && match pattern value != null
      );
    enum =
      values:
      type "one of ${builtins.concatStringsSep ", " (map builtins.toJSON values)}" (
        value: elem value values
      );
    nullOr = inner: type "null or ${inner.description}" (value: value == null || inner.check value);
    listOf = inner: type "list of ${inner.description}" (value: isList value && all inner.check value);
    attrsOf =
      inner:
      type "attribute set of ${inner.description}" (
        value: isAttrs value && all inner.check (attrValues value)
      );
    oneOf =
      inners:
      type (builtins.concatStringsSep " or " (map (one: one.description) inners)) (
        value: builtins.any (one: one.check value) inners
      );
  };

  genAttrs =
    names: f:
    listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
in
rec {
  inherit types;
  inherit (builtins)
    any
    attrNames
    concatStringsSep
    elem
    filter
    listToAttrs
    mapAttrs
    ;
  inherit genAttrs;

  mkOption = attrs: attrs // { _type = "option"; };
  mkEnableOption =
    what:
    mkOption {
      type = types.bool;
      default = false;
      description = "Whether to enable ${what}.";
    };
  mkPackageOption =
    packages: name: _:
    mkOption {
      type = types.package;
      default = packages.${name};
      defaultText = literalExpression "pkgs.${name}";
      description = "The ${name} package to use.";
    };
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  literalMD = text: {
    _type = "literalMD";
    inherit text;
  };

  # Another name for an option: what is defined there is defined here.
  mkAliasOptionModule = from: to: {
    inherit from to;
    change = getAttrFromPath from;
  };
  mkChangedOptionModule = from: to: change: { inherit from to change; };
  getAttrFromPath = path: attrs: foldl' (inner: name: inner.${name}) attrs path;

  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };

  optional = condition: value: if condition then [ value ] else [ ];
  optionalAttrs = condition: attrs: if condition then attrs else { };
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      from = stringLength text - stringLength suffix;
    in
    from >= 0 && substring from (stringLength suffix) text == suffix;
  hasInfix = infix: text: builtins.replaceStrings [ infix ] [ "" ] text != text;
  removePrefix =
    prefix: text:
    if hasPrefix prefix text then
      substring (stringLength prefix) (stringLength text - stringLength prefix) text
    else
      text;
  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
  toLower =
    let
      upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
      lower = "abcdefghijklmnopqrstuvwxyz";
      letters = text: genList (n: substring n 1 text) (stringLength text);
    in
    builtins.replaceStrings (letters upper) (letters lower);
  filterAttrs =
    keep: attrs:
    listToAttrs (
      map (name: {
        inherit name;
        value = attrs.${name};
      }) (filter (name: keep name attrs.${name}) (attrNames attrs))
    );
  mapAttrsToList = f: attrs: map (name: f name attrs.${name}) (attrNames attrs);
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  versionAtLeast = version: least: builtins.compareVersions version least >= 0;
  assertMsg = condition: message: if condition then true else throw message;
  importTOML = file: builtins.fromTOML (builtins.readFile file);
  fileset = {
    toSource = { root, ... }: root;
    unions = list: list;
  };
  licenses = {
    mit = "MIT";
    asl20 = "Apache-2.0";
  };
  platforms = {
    linux = [
      "x86_64-linux"
      "aarch64-linux"
    ];
    darwin = [
      "x86_64-darwin"
      "aarch64-darwin"
    ];
  };

  # ---- evaluating a module ----

  # What is left of definitions once conditions are decided and lists put together.
  flatten =
    value:
    if isAttrs value && value._type or null == "if" then
      (if value.condition then flatten value.content else { })
    else if isAttrs value && value._type or null == "merge" then
      foldl' merge { } (map flatten value.contents)
    else if isAttrs value && !(value ? outPath) then
      mapAttrs (_: flatten) (
        filterAttrs (_: one: !(isAttrs one && one._type or null == "if" && !one.condition)) value
      )
    else
      value;

  merge =
    a: b:
    if isAttrs a && isAttrs b then
      a
      // b
      // listToAttrs (
        map (name: {
          inherit name;
          value = merge a.${name} b.${name};
        }) (filter (name: hasAttr name a) (attrNames b))
      )
    else if isList a && isList b then
      a ++ b
    else
      throw "two definitions that cannot be merged";

  # The values of options: what is defined, checked, else the default.
  valuesOf =
    path: options: defined:
    let
      unknown = filter (name: !(hasAttr name options)) (attrNames defined);
    in
    if unknown != [ ] then
      throw "The option `${concatStringsSep "." (path ++ [ (elemAt unknown 0) ])}' does not exist."
    else
      mapAttrs (
        name: option:
        let
          here = path ++ [ name ];
          told = concatStringsSep "." here;
        in
        if option._type or null == "option" then
          if !(hasAttr name defined) then
            option.default or (throw "The option `${told}' is used but not defined.")
          else if option.type.check defined.${name} then
            defined.${name}
          else
            throw "A definition for option `${told}' is not of type `${option.type.description}'."
        else
          valuesOf here option (defined.${name} or { })
      ) options;

  # Definitions under an older name are taken for those under the name of today.
  renamed =
    modules: defined:
    foldl' (
      now: module:
      let
        whole = {
          services.nixfleet = now;
        };
        without = path: attrs: if hasPath path attrs then removeAt path attrs else attrs;
      in
      if hasPath module.from whole then
        merge (without module.from whole).services.nixfleet
          (setAttrByPath module.to (module.change whole)).services.nixfleet
      else
        now
    ) defined modules;
  hasPath =
    path: attrs:
    path == [ ]
    || (
      isAttrs attrs
      && hasAttr (builtins.head path) attrs
      && hasPath (builtins.tail path) attrs.${builtins.head path}
    );
  setAttrByPath =
    path: value:
    if path == [ ] then value else { ${builtins.head path} = setAttrByPath (builtins.tail path) value; };
  removeAt =
    path: attrs:
    let
      name = builtins.head path;
      rest = builtins.tail path;
    in
    if rest == [ ] then
      removeAttrs attrs [ name ]
    else
      attrs // { ${name} = removeAt rest attrs.${name}; };

  # A module with the definitions of one user; `base` stands for the rest of the system.
  evalModule =
    {
      module,
      defined,
      base,
      pkgs,
    }:
    let
      library = import ./lib.nix;
      made = module {
        inherit pkgs;
        lib = library;
        config = base // {
          services.nixfleet =
            valuesOf [ "services" "nixfleet" ] made.options.services.nixfleet
              (renamed (made.imports or [ ]) defined);
        };
      };
      config = flatten made.config;
      failed = filter (one: !one.assertion) (config.assertions or [ ]);
    in
    {
      inherit config;
      inherit (made) options;
      errors = map (one: one.message) failed;
    };

  # Every option below a tree, as text for the reference.
  describe =
    path: options:
    concatLists (
      mapAttrsToList (
        name: option:
        let
          here = path ++ [ name ];
        in
        if option._type or null == "option" then
          [
            {
              name = concatStringsSep "." here;
              type = option.type.description;
              default =
                option.defaultText.text or (if option ? default then builtins.toJSON option.default else null);
              example = if option ? example then builtins.toJSON option.example else null;
              inherit (option) description;
            }
          ]
        else
          describe here option
      ) options
    );
}
