//! A host with an agent of protocol 4 that a test plays: it says what the test wants.

use super::Dashboard;
use super::dashboard::TOKEN;
use super::old_agent::OldAgent;
use serde_json::{Value, json};

/// What runs at first.
pub const OLD: &str = "/nix/store/1-system";
/// What a switch brings.
pub const NEW: &str = "/nix/store/2-system";
/// What its guard says when it took a switch back.
pub const WHY: &str = "Rolled back by itself: no link to the dashboard";

/// A host with an agent of protocol 4 that says what a test wants.
pub struct NewHost {
    pub link: OldAgent,
    name: &'static str,
    pub checkout: String,
    boot: &'static str,
    runs: &'static str,
    boots: &'static str,
}

impl NewHost {
    pub fn joins(dashboard: &Dashboard, name: &'static str, checkout: &str) -> Self {
        let link = OldAgent::connect(&dashboard.url, TOKEN, name).expect("the token is right");
        let (boot, runs, boots) = ("first", OLD, OLD);
        let mut host = Self { link, name, checkout: checkout.to_owned(), boot, runs, boots };
        host.register();
        host
    }

    pub fn register(&mut self) {
        self.register_with(&json!([]));
    }

    fn register_with(&mut self, jobs: &Value) {
        let payload = json!({
            "protocol": 4, "jobs": jobs, "hostname": self.name, "host_type": "nixos",
            "agent_version": env!("CARGO_PKG_VERSION"), "generation": self.checkout,
            "system": self.system(), "boot_id": self.boot, "generations": generations(),
            "tests": { "enabled": true, "auto_run": false, "timeout_s": 60, "count": 0 },
        });
        self.link.send("register", &payload);
        assert_eq!(self.link.receive()["type"], "registered");
    }

    pub fn comes_back(&mut self, dashboard: &Dashboard) {
        self.link = OldAgent::connect(&dashboard.url, TOKEN, self.name).expect("it is known");
        self.register();
    }

    /// Waits for a command and takes it.
    #[track_caller]
    pub fn takes(&mut self, op: &str) -> Value {
        let asked = loop {
            let message = self.link.receive();
            if message["type"] == "command" && message["payload"]["command"] != "refresh-all" {
                break message["payload"].clone();
            }
        };
        assert_eq!(asked["command"], op, "{asked}");
        self.link.send("command_accepted", &json!({ "command_id": asked["command_id"] }));
        asked
    }

    pub fn ends(&mut self, command: &Value, how: &Value) {
        let mut status = json!({
            "command_id": command["command_id"], "command": command["command"], "seq": 1,
            "exit_code": 1, "generation": self.checkout,
            "system": self.system(),
        });
        for (field, value) in how.as_object().unwrap() {
            status[field] = value.clone();
        }
        self.link.send("status", &status);
    }

    /// Pulls this commit.
    #[track_caller]
    pub fn pulls(&mut self, commit: &str) {
        let pull = self.takes("pull");
        commit.clone_into(&mut self.checkout);
        let ok = json!({ "status": "ok", "exit_code": 0, "generation": commit, "dirty": false });
        self.ends(&pull, &ok);
    }

    pub fn built(&self) -> Value {
        json!({ "commit": self.checkout, "lock_hash": "", "dirty": false, "path": NEW })
    }

    /// Its guard takes a switch back.
    #[track_caller]
    pub fn returns(&mut self) {
        let switch = self.takes("switch");
        assert_eq!(switch.get("held"), None, "{switch}");
        let how = json!({ "status": "error", "message": WHY, "built": self.built() });
        self.ends(&switch, &how);
    }

    /// Ends a switch well: what it built runs.
    #[track_caller]
    pub fn switches(&mut self) {
        let switch = self.takes("switch");
        self.runs_what_it_built(&switch);
    }

    /// Ends a switch well: what it built starts at the next boot.
    #[track_caller]
    pub fn sets_the_next_boot(&mut self) {
        let switch = self.takes("switch");
        self.boots = NEW;
        let mut built = self.built();
        built["next_boot"] = json!(true);
        self.ends(&switch, &json!({ "status": "ok", "exit_code": 0, "built": built }));
    }

    /// Goes back to the generation that was asked for, and answers that.
    #[track_caller]
    pub fn rolls_back(&mut self) -> Value {
        let rollback = self.takes("rollback");
        self.has_rolled_back(&rollback);
        rollback
    }

    /// Joins again, with a job that runs.
    #[track_caller]
    pub fn comes_back_with(&mut self, dashboard: &Dashboard, command: &Value) {
        self.link = OldAgent::connect(&dashboard.url, TOKEN, self.name).expect("it is known");
        let job = json!({
            "command_id": command["command_id"], "op": command["command"], "state": "running",
            "last_seq": 0,
        });
        self.register_with(&json!([job]));
    }

    /// Ends a rollback well.
    pub fn has_rolled_back(&mut self, rollback: &Value) {
        (self.runs, self.boots) = (OLD, OLD);
        self.ends(rollback, &json!({ "status": "ok", "exit_code": 0 }));
    }

    /// Ends what it was asked for well: what it built runs.
    pub fn runs_what_it_built(&mut self, order: &Value) {
        (self.runs, self.boots) = (NEW, NEW);
        let how = json!({ "status": "ok", "exit_code": 0, "dirty": false, "built": self.built() });
        self.ends(order, &how);
    }

    /// Is asked to reboot, and comes up with what boots, or with what ran.
    #[track_caller]
    pub fn reboots(&mut self, dashboard: &Dashboard, with_what_boots: bool) {
        self.takes("reboot");
        self.link.hang_up();
        self.boot = "second";
        if with_what_boots {
            self.runs = self.boots;
        }
        self.comes_back(dashboard);
    }

    fn system(&self) -> Value {
        let generation = if self.runs == OLD { 1 } else { 4 };
        json!({ "generation": generation, "store_path": self.runs, "profile_path": self.boots })
    }
}

/// Numbers between two that ran mean nothing.
fn generations() -> Value {
    json!([
        { "generation": 4, "store_path": NEW },
        { "generation": 3, "store_path": "/nix/store/3-system" },
        { "generation": 1, "store_path": OLD },
    ])
}
