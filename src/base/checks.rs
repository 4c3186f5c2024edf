//! What `--check` says: a line for each thing that a role would work with.

use super::process::say;
use super::secret;

/// What is said of one thing: that it works, or what is wrong with it.
pub type Said = Result<String, String>;

/// Says all of it. True if everything works.
pub fn tell_all(checks: &[(String, Said)]) -> bool {
    for (name, said) in checks {
        let text = match said {
            Ok(text) => format!("ok      {name}: {text}"),
            Err(text) => format!("wrong   {name}: {text}"),
        };
        say(&secret::without_credentials(&text));
    }
    checks.iter().all(|(_, said)| said.is_ok())
}
