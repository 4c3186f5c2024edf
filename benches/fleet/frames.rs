//! What simulated agents say, as the protocol's page writes it.

use serde_json::{Value, json};

/// Id, operation and lines of a job that has ended.
type Ended<'a> = (&'a str, &'a str, u64);

/// `register` of a host at a commit, perhaps with a job that nobody has acknowledged.
pub(crate) fn register(name: &str, commit: &str, protocol: u32, job: Option<Ended<'_>>) -> String {
    let mut payload = json!({
        "hostname": name, "host_type": "nixos", "agent_version": "3.1.5",
        "os_version": "26.05 (Yarara)", "nixpkgs_version": "26.05pre", "generation": commit,
        "theme_color": "#7aa2f7", "heartbeat_interval": 5, "location": "home",
        "device_type": "server", "repo_url": "https://example.org/you/nixcfg",
        "repo_dir": "/var/lib/nixfleet-agent/repo", "source_commit": SOURCE,
        "store_path": STORE_PATH, "binary_hash": BINARY,
    });
    if protocol >= 4 {
        payload["agent_version"] = json!("4.0.0");
        payload["protocol"] = json!(4);
        payload["features"] = json!(["resume"]);
        payload["platform"] = json!("nixos");
        payload["branch"] = json!("main");
        payload["tests"] = tests();
        payload["system"] = system(commit);
        payload["jobs"] = job
            .iter()
            .map(|(id, op, lines)| {
                json!({
                    "command_id": id, "op": op, "state": "finished", "exit_code": 0,
                    "last_seq": lines,
                })
            })
            .collect();
        payload["lock_hash"] = json!(LOCK);
    }
    json!({ "type": "register", "payload": payload }).to_string()
}

const SOURCE: &str = "3f1c2b7a9d8e6f504132aabbccddeeff00112233";
const STORE_PATH: &str = "/nix/store/0c5f0s1xq9d8m7v6b5n4l3k2j1h0g9f8-nixfleet-agent-3.1.5";
const BINARY: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const LOCK: &str = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";

fn tests() -> Value {
    json!({ "enabled": true, "auto_run": true, "timeout_s": 60, "count": 4 })
}

fn system(commit: &str) -> Value {
    json!({
        "generation": 48,
        "store_path": "/nix/store/1d6g1t2yr0e9n8w7c6p5m4l3k2j1h0g9-nixos-system-host-26.05",
        "configuration_revision": commit, "activated_at": "2026-01-18T10:30:00Z",
    })
}

/// `heartbeat` number so-and-so. Its number is in its metrics, exactly, so that what arrived
/// can be told from what did not. One of protocol 3 has some 874 bytes, as in the field.
pub(crate) fn heartbeat(commit: &str, number: u64, protocol: u32) -> String {
    let (cpu, load) = metrics(number);
    if protocol >= 4 {
        return json!({ "type": "heartbeat", "payload": {
            "generation": commit, "nixpkgs_version": "26.05pre", "pending_command": null,
            "command_pid": null,
            "metrics": { "cpu": cpu, "ram": 41.25, "swap": 0.5, "load": load },
            "lock_hash": LOCK, "source_commit": SOURCE, "store_path": STORE_PATH,
            "binary_hash": BINARY, "system": system(commit), "tests": tests(),
        }})
        .to_string();
    }
    let at = "2026-01-18T10:30:00Z";
    format!(
        "{{\"type\":\"heartbeat\",\"payload\":{{\"generation\":\"{commit}\",\
         \"nixpkgs_version\":\"26.05pre\",\"pending_command\":null,\"command_pid\":null,\
         \"metrics\":{{\"cpu\":{cpu},\"ram\":41.25,\"swap\":0.5,\"load\":{load}}},\
         \"update_status\":{{\
         \"git\":{{\"status\":\"ok\",\"message\":\"up to date with origin\",\"checked_at\":\"{at}\"}},\
         \"lock\":{{\"status\":\"ok\",\"message\":\"flake.lock is current\",\"checked_at\":\"{at}\"}},\
         \"system\":{{\"status\":\"outdated\",\"message\":\"switch needed\",\"checked_at\":\"{at}\"}},\
         \"tests\":{{\"status\":\"unknown\",\"message\":\"\",\"checked_at\":\"{at}\"}}}},\
         \"lock_hash\":\"{LOCK}\",\"source_commit\":\"{SOURCE}\",\"store_path\":\"{STORE_PATH}\",\
         \"binary_hash\":\"{BINARY}\"}}}}"
    )
}

/// CPU and load of a heartbeat, both exact as binary fractions.
pub(crate) fn metrics(number: u64) -> (f64, f64) {
    (f64::from((number % 97) as u32), f64::from((number % 4096) as u32) / 4.0)
}

/// The type of a frame of the dashboard.
pub(crate) fn kind_of(frame: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(frame).ok()?;
    Some(value["type"].as_str()?.to_owned())
}

/// Operation and id of a `command`; a 3.x agent gets none.
pub(crate) fn command(frame: &[u8]) -> Option<(String, Option<String>)> {
    let value: Value = serde_json::from_slice(frame).ok()?;
    if value["type"] != "command" {
        return None;
    }
    let payload = &value["payload"];
    let id = payload["command_id"].as_str().map(str::to_owned);
    Some((payload["command"].as_str()?.to_owned(), id))
}

/// Up to where the dashboard has stored.
pub(crate) fn ack(frame: &[u8]) -> Option<u64> {
    let value: Value = serde_json::from_slice(frame).ok()?;
    if value["type"] != "ack" {
        return None;
    }
    value["payload"]["seq"].as_u64()
}

/// How far a job is stored, as `registered` says.
pub(crate) fn resume(frame: &[u8], id: &str) -> u64 {
    let value: Value = serde_json::from_slice(frame).unwrap_or_default();
    value["payload"]["resume"][id].as_u64().unwrap_or(0)
}

pub(crate) fn accepted(id: &str) -> String {
    let payload = json!({ "command_id": id, "pid": 4711 });
    json!({ "type": "command_accepted", "payload": payload }).to_string()
}

pub(crate) fn status(id: &str, op: &str, seq: u64) -> String {
    let payload =
        json!({ "status": "ok", "command": op, "exit_code": 0, "command_id": id, "seq": seq });
    json!({ "type": "status", "payload": payload }).to_string()
}

pub(crate) fn old_status(op: &str) -> String {
    let payload = json!({ "status": "ok", "command": op, "exit_code": 0 });
    json!({ "type": "status", "payload": payload }).to_string()
}

/// `output_batch` with lines that name their number.
pub(crate) fn batch(id: &str, first: u64, count: u64, line: &str) -> String {
    let mut text = format!(
        "{{\"type\":\"output_batch\",\"payload\":{{\"command_id\":\"{id}\",\"first_seq\":{first},\"lines\":["
    );
    for number in first..first + count {
        if number > first {
            text.push(',');
        }
        text += &format!("{{\"stream\":\"stdout\",\"text\":\"{number} {line}\"}}");
    }
    text += "]}}";
    text
}
