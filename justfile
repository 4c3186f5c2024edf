# Short names for what CONTRIBUTING.md says. `just` lists them.

[private]
default:
    @just --list

# Everything: format, clippy, all tests.
all:
    tests/run

# A whole fleet on this machine.
demo:
    cargo run -- --demo

# What is quick: format, types, rules, rooms and references.
quick:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo test --lib --test house

# Black-box tests whose names contain this.
blackbox filter:
    cargo test --test blackbox -- {{ filter }}

# Writes docs/OPTIONS.md anew from the modules.
options:
    NIXFLEET_BLESS=1 cargo test --test blackbox options_reference

# Licences, advisories, sources and duplicates of dependencies (needs cargo-deny).
deny:
    cargo deny check
