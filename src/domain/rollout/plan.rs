//! Who takes part in a rollout, decided before it starts and shown before it is confirmed.

use super::UPDATE;
use crate::domain::compartment::Status;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
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

/// Why a host cannot take part, or has no need to.
fn left_out(steps: &[Operation], host: &HostSnapshot) -> Option<&'static str> {
    if !host.online {
        return Some("offline");
    }
    if let Some(refusal) = steps.first().and_then(|first| host.refusal(*first)) {
        match refusal.code {
            "tests_disabled" => return Some("with tests turned off"),
            "no_tests" => return Some("without tests"),
            "not_supported" => return Some("with an agent that is too old"),
            "no_such_generation" => return Some("with no generation to go back to"),
            _ => {}
        }
    }
    // The agent itself may be what the update brings.
    let current = host.row[..4].iter().all(|verdict| verdict.status == Status::Ok);
    let tested = matches!(host.row[4].status, Status::Ok | Status::Unknown);
    (*steps == UPDATE && current && tested).then_some("current already")
}
