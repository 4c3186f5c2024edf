//! Who takes part in a rollout, decided before it starts and shown before it is confirmed.

use super::UPDATE;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::refusal::RefusalCode;
use crate::domain::snapshot::HostSnapshot;

/// Who takes part, and who is left out and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Those that take part.
    pub hosts: Vec<HostId>,
    /// Those that do not, by reason: "offline", "current already".
    pub left_out: Vec<(String, Vec<HostId>)>,
}

impl Plan {
    /// "2 offline are left out: a, b."; empty if nobody is.
    pub fn exclusions(&self) -> Vec<String> {
        let told = |(why, hosts): &(String, Vec<HostId>)| {
            let names: Vec<&str> = hosts.iter().take(5).map(HostId::as_str).collect();
            let more = hosts.len().saturating_sub(names.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let is = if hosts.len() == 1 { "is" } else { "are" };
            format!("{} {why} {is} left out: {}{more}.", hosts.len(), names.join(", "))
        };
        self.left_out.iter().map(told).collect()
    }
}

/// Decides who of `hosts` takes part in `steps`. A host that is busy does, and waits.
pub fn plan<'a>(steps: &[Operation], hosts: impl Iterator<Item = &'a HostSnapshot>) -> Plan {
    let mut plan = Plan::default();
    for host in hosts {
        match left_out(steps, host) {
            None => plan.hosts.push(host.id.clone()),
            Some(why) => match plan.left_out.iter_mut().find(|(known, _)| known == why) {
                Some((_, list)) => list.push(host.id.clone()),
                None => plan.left_out.push((why.to_owned(), vec![host.id.clone()])),
            },
        }
    }
    plan
}

/// What will not pass while a rollout waits, and what the host is called then.
const UNABLE: [(RefusalCode, &str); 4] = [
    (RefusalCode::TestsDisabled, "with tests turned off"),
    (RefusalCode::NoTests, "without tests"),
    (RefusalCode::NotSupported, "with an agent that is too old"),
    (RefusalCode::NoSuchGeneration, "with no generation to go back to"),
];

/// Why a host cannot take part, or has no need to.
fn left_out(steps: &[Operation], host: &HostSnapshot) -> Option<&'static str> {
    if !host.online {
        return Some("offline");
    }
    if let Some(refusal) = steps.first().and_then(|first| host.refusal(*first)) {
        let unable = UNABLE.iter().find(|(code, _)| *code == refusal.code);
        if let Some((_, why)) = unable {
            return Some(*why);
        }
    }
    if *steps == UPDATE && host.row.is_current() {
        return Some("current already");
    }
    None
}
