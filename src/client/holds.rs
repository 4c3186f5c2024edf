//! `nixfleet hold` and `nixfleet release`.

use super::api::{Api, segment};
use super::ending::{Ending, Trouble};
use super::output::Out;
use super::text::{painted, safe};
use serde_json::{Value, json};

/// Holds hosts: no rollout takes them.
pub(super) fn hold(
    api: &Api,
    out: &mut Out,
    hosts: &[String],
    reason: Option<&str>,
) -> Result<Ending, Trouble> {
    let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    each(api, out, hosts, ("hold", "held"), &body)
}

/// Lets hosts go.
pub(super) fn release(api: &Api, out: &mut Out, hosts: &[String]) -> Result<Ending, Trouble> {
    each(api, out, hosts, ("release", "released"), &json!({}))
}

/// One after the other; a host that is refused ends nothing for the others.
fn each(
    api: &Api,
    out: &mut Out,
    hosts: &[String],
    (what, done): (&str, &str),
    body: &Value,
) -> Result<Ending, Trouble> {
    let (mut objects, mut endings) = (Vec::new(), Vec::new());
    for host in hosts {
        let (says, ending) = match api.post(&format!("/api/hosts/{}/{what}", segment(host)), body) {
            Ok(object) => {
                objects.push(object);
                (done.to_owned(), Ending::Done)
            }
            Err(Trouble::Refused { code, message }) => {
                objects.push(json!({
                    "host_id": host, "error": { "code": code, "message": message }
                }));
                let refused = painted("refused", "refused", out.colours());
                (format!("{refused}: {}", safe(&message)), Ending::Refused)
            }
            Err(trouble) => return Err(trouble),
        };
        endings.push(ending);
        if !out.for_programs() {
            out.line(&format!("{}: {says}", safe(host)))?;
        }
    }
    out.programs(&json!(objects))?;
    Ok(Ending::of_all(endings))
}
