//! Many hosts: what the page costs, and that it stays true.

use crate::support::browser::Browser;
use crate::support::{ConfigRepo, Dashboard, OldAgent, wait_until};
use serde_json::json;

/// A commit that a host may be at.
fn commit(n: usize) -> String {
    format!("{n:07x}{}", "0".repeat(33))
}

#[test]
fn the_page_of_a_hundred_hosts_is_small() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let mut agents: Vec<OldAgent> = (0..100)
        .map(|n| OldAgent::join(&dashboard.url, &format!("host-{n:03}"), &commit(n % 3)))
        .collect();
    agents.iter_mut().for_each(OldAgent::heartbeat);
    wait_until("all are there with their metrics", || {
        let hosts = user.get("/api/hosts").json();
        let told = hosts.as_array().unwrap().iter().filter(|host| host["metrics"].is_object());
        let told = told.count();
        if told == 100 { Ok(()) } else { Err((told, hosts[0].clone())) }
    });
    let (plain, zipped) = (user.size_of("/", false), user.size_of("/", true));
    println!("page of 100 hosts: {plain} bytes, {zipped} compressed");
    assert!(plain <= 400 * 1024, "{plain} bytes");
    assert!(zipped <= 40 * 1024, "{zipped} bytes compressed");
}

#[test]
fn five_hundred_hosts_with_heartbeats_on_a_page_of_a_thousand_stay_true_and_cheap() {
    let repo = ConfigRepo::new();
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    for n in 500..1000 {
        let added = user.post("/api/hosts", &json!({ "hostname": format!("host-{n:03}") }));
        assert_eq!(added.status, 201, "{added:?}");
    }
    let mut agents: Vec<OldAgent> = (0..500)
        .map(|n| OldAgent::join(&dashboard.url, &format!("host-{n:03}"), &commit(1)))
        .collect();
    let browser = Browser::start();
    browser.login(&dashboard.url, &dashboard.password);
    browser.wait_for_text("#link", "live");
    browser.wait_for_text("#fleet-summary", "1000 hosts");
    browser.run(
        "window.rows = []; window.beats = [];
         const real = window.receive;
         window.receive = (frame) => {
             const began = performance.now();
             real(frame);
             const took = performance.now() - began, n = (frame.fragments ?? []).length;
             if (frame.type === 'host_heartbeat') window.beats.push(took / n);
             else if (n && frame.fragments.some(({ id }) => id.startsWith('host-'))) window.rows.push(took);
         };",
    );
    // A browser that falls behind gets the whole state instead of rows: go on until enough rows
    // were swapped one by one.
    let measured = "return window.rows.length >= 100 && window.beats.length > 0";
    for round in (0..).take_while(|_| browser.run(measured) == false) {
        // Some hosts move to another commit: their rows change. All hosts are heard.
        let moving = agents.iter_mut().skip(round % 50 * 10).take(10);
        moving.for_each(|agent| agent.generation = commit(2 + round));
        agents.iter_mut().for_each(OldAgent::heartbeat);
        let last = commit(2 + round)[..7].to_owned();
        wait_until("they are shown where they are", || {
            let script = format!(
                "return [...document.querySelectorAll('.gen')].filter(gen => gen.textContent.includes('{last}')).length"
            );
            let moved = browser.run(&script);
            if moved == 10 { Ok(()) } else { Err(moved) }
        });
    }
    let median = |name: &str| {
        let script =
            format!("return window.{name}.sort((a, b) => a - b)[window.{name}.length >> 1]");
        browser.run(&script).as_f64().unwrap()
    };
    let (row, beat) = (median("rows"), median("beats"));
    println!(
        "1,000 hosts on the page: {row:.2} ms of script per swapped row, {beat:.2} per heartbeat"
    );
    assert!(row < 2.0, "a swapped row costs {row} ms");
    browser.assert_true();
    assert_eq!(browser.complaints(), [""; 0]);
}
