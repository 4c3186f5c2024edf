use super::*;
use crate::demo::crowd::who;
use uuid::Uuid;

fn pin(n: u8) -> Pin {
    Pin { commit: format!("{n:040x}"), lock: format!("{n:064x}"), cuts: None }
}

fn machine(way: Way) -> Machine {
    let who = who::all(40).into_iter().find(|who| who.way == way).unwrap();
    Machine::new(who, String::new(), &[pin(1), pin(2), pin(3)], Timestamp::from_secs(0))
}

/// Runs a command to its end: the outcome.
fn run(machine: &mut Machine, op: Operation, args: Args) -> Status {
    let now = Timestamp::from_secs(60);
    let command = CommandMessage {
        command: op.name().to_owned(),
        command_id: (machine.who.way != Way::Old).then_some(CommandId(Uuid::nil())),
        args: Some(args),
        held: Vec::new(),
    };
    machine.command(&command, now);
    while machine.works() {
        for told in machine.step(now) {
            if let AgentMessage::Status(status) = told {
                return *status;
            }
        }
    }
    panic!("it ended without an outcome")
}

#[test]
fn a_host_that_is_behind_is_at_the_head_after_pull_and_switch() {
    for way in [Way::Behind, Way::FarBehind, Way::Held] {
        let mut machine = machine(way);
        assert_eq!(run(&mut machine, Operation::Pull, Args::default()).exit_code, 0);
        let runs = machine.running().unwrap().configuration_revision.clone();
        assert_ne!(runs, Some(pin(3).commit), "a pull deploys nothing");
        let status = run(&mut machine, Operation::Switch, Args::default());
        assert_eq!(status.built.unwrap().commit, pin(3).commit);
        assert_eq!(status.system.unwrap().configuration_revision, Some(pin(3).commit));
    }
}

#[test]
fn pull_and_switch_in_one_builds_what_it_pulled() {
    let mut machine = machine(Way::Unbuildable);
    machine.remote = pin(4);
    assert_eq!(run(&mut machine, Operation::PullSwitch, Args::default()).exit_code, 0);
    let runs = machine.running().unwrap().configuration_revision.clone();
    assert_eq!(runs, Some(pin(4).commit));
}

#[test]
fn a_reboot_is_when_it_was_booted_and_a_restart_of_its_agent_is_not() {
    let mut machine = machine(Way::Tested);
    let ask = |machine: &mut Machine, op: Operation, at: i64| {
        let command = CommandMessage {
            command: op.name().to_owned(),
            command_id: Some(CommandId(Uuid::nil())),
            args: None,
            held: Vec::new(),
        };
        machine.command(&command, Timestamp::from_secs(at));
        let AgentMessage::Register(register) = machine.register() else { panic!("no register") };
        register.boot_time.unwrap()
    };
    let before = Timestamp::from_secs(0).shifted(-DAY);
    assert_eq!(ask(&mut machine, Operation::RestartAgent, 60), before);
    assert_eq!(ask(&mut machine, Operation::Reboot, 120), Timestamp::from_secs(120));
    assert_eq!(ask(&mut machine, Operation::RestartAgent, 180), Timestamp::from_secs(120));
}

#[test]
fn a_mac_tells_of_no_kernel() {
    for who in who::all(400).into_iter().filter(|who| who.platform() == "darwin") {
        let all = [pin(1), pin(2), pin(3)];
        let machine = Machine::new(who, String::new(), &all, Timestamp::from_secs(0));
        let system = machine.system();
        assert_eq!((system.booted_kernel, system.next_kernel), (None, None));
        assert_eq!(system.reboot_needed, Some(false));
        assert!(!system.store_path.unwrap().contains("nixos"));
    }
}

#[test]
fn what_does_not_build_builds_once_the_remote_moved_on() {
    let mut machine = machine(Way::Unbuildable);
    assert_eq!(run(&mut machine, Operation::Switch, Args::default()).exit_code, 1);
    machine.remote = pin(4);
    assert_eq!(run(&mut machine, Operation::Pull, Args::default()).exit_code, 0);
    assert_eq!(run(&mut machine, Operation::Switch, Args::default()).exit_code, 0);
}

#[test]
fn tests_fail_on_the_head_and_pass_after_a_rollback() {
    let mut machine = machine(Way::FailingTests);
    let before = machine.runs;
    assert_eq!(run(&mut machine, Operation::Test, Args::default()).exit_code, 1);
    run(&mut machine, Operation::Rollback, Args::default());
    assert_eq!(machine.runs, before - 1);
    assert_eq!(run(&mut machine, Operation::Test, Args::default()).exit_code, 0);
    let args = Args { generation: Some(before), ..Args::default() };
    run(&mut machine, Operation::Rollback, args);
    assert_eq!(machine.runs, before);
}

#[test]
fn a_commit_that_cuts_its_network_comes_back_and_the_next_one_is_kept() {
    let mut machine = machine(Way::Current);
    let name = machine.who.name.clone();
    machine.remote = Pin { cuts: Some(name), ..pin(4) };
    run(&mut machine, Operation::Pull, Args::default());
    let before = machine.runs;
    let status = run(&mut machine, Operation::Switch, Args::default());
    assert_eq!((status.status, machine.runs), (OutcomeStatus::Error, before));
    assert!(status.message.unwrap().starts_with("Rolled back by itself:"));
    assert_eq!(status.built.unwrap().commit, pin(4).commit);
    assert!(machine.leaves, "its link was gone");
    machine.remote = pin(5);
    assert_eq!(run(&mut machine, Operation::PullSwitch, Args::default()).exit_code, 0);
    let runs = machine.running().unwrap().configuration_revision.clone();
    assert_eq!(runs, Some(pin(5).commit));
}

#[test]
fn a_link_that_opens_in_a_switch_names_it() {
    let mut machine = machine(Way::Current);
    let command = CommandMessage {
        command: "switch".to_owned(),
        command_id: Some(CommandId(Uuid::nil())),
        args: None,
        held: Vec::new(),
    };
    machine.command(&command, Timestamp::from_secs(60));
    machine.step(Timestamp::from_secs(61));
    let AgentMessage::Register(register) = machine.register() else { panic!("no register") };
    let jobs = register.jobs.unwrap();
    assert_eq!((jobs.len(), jobs[0].op.as_str()), (1, "switch"));
}

#[test]
fn an_old_agent_names_no_command_and_ends_after_a_switch() {
    let mut machine = machine(Way::Old);
    let status = run(&mut machine, Operation::Switch, Args::default());
    assert_eq!((status.command_id, status.seq, status.system), (None, None, None));
    assert!(machine.leaves);
    let AgentMessage::Register(register) = machine.register() else { panic!("no register") };
    assert_eq!((register.protocol, register.agent_version.as_str()), (None, OLD_VERSION));
}
