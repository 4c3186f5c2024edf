//! Who takes part in a rollout, decided before it starts and shown before it is confirmed.

use super::UPDATE;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::refusal::RefusalCode;
use crate::domain::snapshot::HostSnapshot;
use std::borrow::Cow;

/// Who takes part, and who is left out and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Those that take part.
    pub hosts: Vec<HostId>,
    /// Those of them that are offline: they are asked when they are back, and left out after a day.
    pub away: Vec<HostId>,
    /// Those that do not, by reason: "without tests", "current already".
    pub left_out: Vec<(String, Vec<HostId>)>,
}

impl Plan {
    /// "2 without tests are left out: a, b."; empty if nobody is.
    pub fn exclusions(&self) -> Vec<String> {
        let told = |(why, hosts): &(String, Vec<HostId>)| {
            let is = if hosts.len() == 1 { "is" } else { "are" };
            format!("{} {why} {is} left out: {}.", hosts.len(), some(hosts))
        };
        self.left_out.iter().map(told).collect()
    }

    /// "1 offline takes part when it is back: a."; `None` if nobody is away.
    pub fn waits_for(&self) -> Option<String> {
        let n = self.away.len();
        let (takes, is) = if n == 1 { ("takes", "it is") } else { ("take", "they are") };
        let names = some(&self.away);
        (n > 0).then(|| format!("{n} offline {takes} part when {is} back: {names}."))
    }
}

/// The first few names.
fn some(hosts: &[HostId]) -> String {
    let names: Vec<&str> = hosts.iter().take(5).map(HostId::as_str).collect();
    let more = hosts.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// The steps of a rollout that goes in waves: the next one begins by what the tests of the one before
/// say, so what is switched to is tested, whether that was asked for or not (spec: guard, "Rollouts in
/// waves").
pub fn followed_by_tests(mut steps: Vec<Operation>) -> Vec<Operation> {
    let switches = |op: &Operation| matches!(op, Operation::Switch | Operation::PullSwitch);
    if let Some(at) = steps.iter().rposition(switches)
        && !steps[at..].contains(&Operation::Test)
    {
        steps.insert(at + 1, Operation::Test);
    }
    steps
}

/// Decides who of `hosts` takes part in `steps`. A host that is busy or away does, and waits.
pub fn plan<'a>(steps: &[Operation], hosts: impl Iterator<Item = &'a HostSnapshot>) -> Plan {
    let mut plan = Plan::default();
    for host in hosts {
        match left_out(steps, host) {
            None => {
                plan.hosts.push(host.id.clone());
                if !host.online {
                    plan.away.push(host.id.clone());
                }
            }
            Some(why) => match plan.left_out.iter_mut().find(|(known, _)| *known == why) {
                Some((_, list)) => list.push(host.id.clone()),
                None => plan.left_out.push((why.into_owned(), vec![host.id.clone()])),
            },
        }
    }
    plan
}

/// Whether `host` would take part in `steps` if they began now.
pub fn takes_part(steps: &[Operation], host: &HostSnapshot) -> bool {
    left_out(steps, host).is_none()
}

/// What will not pass while a rollout waits, and what the host is called then.
const UNABLE: [(RefusalCode, &str); 4] = [
    (RefusalCode::TestsDisabled, "with tests turned off"),
    (RefusalCode::NoTests, "without tests"),
    (RefusalCode::NotSupported, "with an agent that is too old"),
    (RefusalCode::NoSuchGeneration, "with no generation to go back to"),
];

/// What a host is called that has nothing to do.
pub(crate) const CURRENT: &str = "current already";

/// Why a host cannot take part, or has no need to.
fn left_out(steps: &[Operation], host: &HostSnapshot) -> Option<Cow<'static, str>> {
    if let Some(reason) = held(steps, host) {
        return Some(format!("held ({reason})").into());
    }
    if let Some(refusal) = steps.first().and_then(|first| host.refusal(*first)) {
        let unable = UNABLE.iter().find(|(code, _)| *code == refusal.code);
        if let Some((_, why)) = unable {
            return Some((*why).into());
        }
    }
    if !host.online && host.facts.agent.version.is_none() {
        return Some("never connected".into());
    }
    let boots = steps.contains(&Operation::Reboot);
    let needs_none = !(boots && host.facts.waits_for_a_reboot());
    if steps.starts_with(&UPDATE) && host.row.is_current() && needs_none {
        return Some(CURRENT.into());
    }
    if *steps == [Operation::Reboot] && needs_none {
        return Some("with no need of a reboot".into());
    }
    None
}

/// Why nothing is rolled out to a host that somebody holds. What changes nothing that runs is.
fn held<'a>(steps: &[Operation], host: &'a HostSnapshot) -> Option<&'a str> {
    let deploys = steps.iter().any(|op| op.rules().deploys);
    let first = steps.first().and_then(|first| host.refusal(*first));
    let refused = first.is_some_and(|refusal| refusal.code == RefusalCode::Held);
    let hold = host.facts.hold.as_ref().filter(|_| deploys && (host.held || refused))?;
    Some(hold.reason.trim_end_matches('.'))
}
