//! What a host says and prints is kept up to a bound (finding 9 of the security review): in SQLite, and
//! in memory while SQLite cannot be written.

use super::*;
use crate::dashboard::fleet::host::AgentGone;
use crate::dashboard::store;
use crate::dashboard::store::events::{self, EventFilter};
use crate::domain::bounds::{self, rows};
use crate::domain::command::State;
use crate::protocol::{Heartbeat, Line, Output, OutputBatch, Stream};

fn line(bytes: usize) -> Line {
    Line { stream: Stream::Stdout, text: "x".repeat(bytes) }
}

/// What the audit log says of a bound.
fn beyond(house: &House) -> Vec<String> {
    let all = EventFilter { limit: u32::MAX, ..EventFilter::default() };
    let said = house.store.read_blocking(|conn| events::list(conn, &all)).unwrap();
    let said = said.into_iter().map(|event| event.message);
    said.filter(|message| message.starts_with("Beyond a bound")).collect()
}

#[actix_rt::test]
async fn the_output_of_a_command_has_a_bound_and_goes_on_beyond_it_9() {
    let house = House::open();
    let agent = house.online("web").await;
    let command_id = house.asks("web", Operation::Pull).await.unwrap().id;
    // All but two of the 64.
    let written = house.store.write(move |conn| {
        for seq in 1..=62 {
            store::output::append(conn, command_id, seq, &[line(1 << 20)])?;
        }
        Ok(())
    });
    written.await.unwrap();
    let says = async |first_seq, lines| {
        let batch = OutputBatch { command_id, first_seq, lines };
        agent.says(AgentMessage::OutputBatch(batch)).await;
        let size = house.store.read_blocking(|conn| store::output::size(conn, command_id));
        (size.unwrap(), beyond(&house))
    };
    let (size, told) = says(63, vec![line(1 << 20)]).await;
    assert!(size > 63 << 20 && told.is_empty(), "{size}: {told:?}");
    for first_seq in [64, 66, 68, 70, 72, 74, 76] {
        let (size, told) = says(first_seq, vec![line(1 << 20), line(1 << 20)]).await;
        assert!(size <= bounds::OUTPUT, "{size}");
        let event = format!("Beyond a bound. {}. Command {command_id}.", rows::OUTPUT);
        assert_eq!(told, [event]);
    }
    let last = house.store.read_blocking(|conn| store::output::last_seq(conn, command_id));
    assert_eq!(last.unwrap(), 77);
}

/// An agent of 3.x whose command runs: it says nothing twice, so what it says waits for SQLite.
async fn old_agent_at_work(house: &House) -> Agent {
    let register = Register {
        hostname: "web".to_owned(),
        host_type: "nixos".to_owned(),
        agent_version: "3.1.5".to_owned(),
        generation: "1".repeat(40),
        ..Register::default()
    };
    let agent = house.online_with("web", register).await;
    house.asks("web", Operation::Pull).await.unwrap();
    agent.says(beat(1)).await;
    let runs = |view: &FleetView| {
        let command = view.hosts[&id("web")].snapshot.command.as_ref();
        command.is_some_and(|command| command.state == State::Running)
    };
    house.until("it runs", runs).await;
    agent
}

fn beat(n: usize) -> AgentMessage {
    let pending_command = Some("pull".to_owned());
    let generation = format!("{n:040x}");
    AgentMessage::Heartbeat(Box::new(Heartbeat {
        generation,
        pending_command,
        ..Heartbeat::default()
    }))
}

async fn says_line(agent: &Agent, bytes: usize) {
    let Line { stream, text } = line(bytes);
    let output = Output { line: text, stream, command: String::new(), is_error: false };
    agent.says(AgentMessage::Output(output)).await;
}

/// The link was closed, once, and what is shown says so.
async fn assert_given_up(house: &House, agent: &Agent) {
    settle(house).await;
    let closed = taken(&agent.wire.closed);
    assert!(matches!(closed[..], [CloseLink::TryAgain(_)]), "{} times", closed.len());
    house.until("it is offline", |view| !view.hosts[&id("web")].snapshot.online).await;
}

#[actix_rt::test]
async fn lines_of_a_3x_agent_are_stored_at_once_where_there_are_many_9() {
    let house = House::open();
    let agent = old_agent_at_work(&house).await;
    let shown = house.shown().await;
    let command = shown.hosts[&id("web")].snapshot.command.as_ref().unwrap().id;
    says_line(&agent, bounds::GATHERED_BYTES).await;
    let stored = house.store.read_blocking(|conn| store::output::last_seq(conn, command));
    assert_eq!(stored.unwrap(), 1);
}

#[actix_rt::test]
async fn so_many_messages_of_a_3x_agent_wait_for_sqlite_9() {
    let house = House::open();
    let agent = old_agent_at_work(&house).await;
    let refusing = house.store.fail_writes();
    // Others wait too: the clock's, and the remote's.
    for n in 0..bounds::UNSTORED_MESSAGES - 8 {
        agent.says(beat(n)).await;
    }
    settle(&house).await;
    assert!(taken(&agent.wire.closed).is_empty());
    for n in 0..100 {
        agent.says(beat(1000 + n)).await;
    }
    assert_given_up(&house, &agent).await;
    drop(refusing);
}

#[actix_rt::test]
async fn so_much_output_of_a_3x_agent_waits_for_sqlite_though_it_says_nothing_else_9() {
    let house = House::open();
    let agent = old_agent_at_work(&house).await;
    let refusing = house.store.fail_writes();
    for _ in 0..bounds::UNSTORED_BYTES >> 17 {
        says_line(&agent, 64 << 10).await;
    }
    settle(&house).await;
    assert!(taken(&agent.wire.closed).is_empty(), "half of it waits");
    for _ in 0..64 {
        says_line(&agent, 64 << 10).await;
    }
    assert_given_up(&house, &agent).await;
    // Nor is there room for the next link.
    for number in 2..5 {
        let wire = Wire::default();
        let register = Register { hostname: "web".to_owned(), ..Register::default() };
        let link = wire.clone().link(number);
        agent.host.send(AgentConnected { link, register: Box::new(register) }).await.unwrap();
        settle(&house).await;
        assert!(matches!(taken(&wire.closed)[..], [CloseLink::TryAgain(_)]), "link {number}");
        assert_eq!(wire.kinds(), [""; 0], "what it says is not kept");
        agent.host.send(AgentGone { link: number }).await.unwrap();
    }
    // What waited is stored when it can be, and then there is room.
    drop(refusing);
    let wire = Wire::default();
    let register = Register { hostname: "web".to_owned(), ..Register::default() };
    let link = wire.clone().link(9);
    agent.host.send(AgentConnected { link, register: Box::new(register) }).await.unwrap();
    house.until("it is online", |view| view.hosts[&id("web")].snapshot.online).await;
    assert!(taken(&wire.closed).is_empty());
}
