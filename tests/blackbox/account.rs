//! The settings page: who gets in.

use crate::support::browser::Browser;
use crate::support::{Client, Dashboard, OldAgent, wait_until};

struct Settings {
    dashboard: Dashboard,
    browser: Browser,
}

impl Settings {
    fn open(variables: &[(&str, &str)]) -> Self {
        let dashboard = Dashboard::start(variables);
        let browser = Browser::start();
        browser.login(&dashboard.url, &dashboard.password);
        browser.click("#user-button");
        browser.click("#user-menu a[href='/settings']");
        browser.wait_for("#password-settings");
        Self { dashboard, browser }
    }
}

/// The code that an authenticator app shows, once it is another than the last one.
fn code(secret: &str, last: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // The next window's code is accepted too, so nobody has to wait for it.
    let codes = [now.as_secs(), now.as_secs() + 30].map(|at| totp.generate(at).to_string());
    codes.into_iter().find(|code| code != last).unwrap()
}

#[test]
fn the_password_is_changed_and_every_other_session_ends() {
    let settings = Settings::open(&[]);
    let (browser, dashboard) = (&settings.browser, &settings.dashboard);
    let other = dashboard.login();
    browser.pictures("settings");
    assert_eq!(browser.axe(), [""; 0]);
    let change = |current: &str, new: &str, again: &str| {
        browser.type_in("#current", current);
        browser.type_in("#new", new);
        browser.type_in("#again", again);
        browser.click("#password-settings button");
    };
    change("wrong", "correct horse battery", "correct horse battery");
    browser.wait_for_text(".news", "The current password is wrong.");
    change(&dashboard.password, "correct horse battery", "another horse battery");
    browser.wait_for_text(".news", "not the same both times");
    assert_eq!(other.get("/api/hosts").status, 200);
    change(&dashboard.password, "correct horse battery", "correct horse battery");
    browser.wait_for_text(".news", "The password was changed");
    assert_eq!(other.get("/api/hosts").status, 401);
    browser.go(&dashboard.url);
    browser.wait_for("#hosts");
    assert_eq!(Client::visitor(&dashboard.url).try_login(&dashboard.password).status, 401);
    assert_eq!(Client::visitor(&dashboard.url).try_login("correct horse battery").status, 303);
}

#[test]
fn a_changed_password_and_one_time_codes_outlive_a_restart() {
    let mut settings = Settings::open(&[]);
    let browser = &settings.browser;
    browser.click("#totp-settings button");
    browser.wait_for("svg.qr path");
    browser.pictures("settings-totp");
    assert_eq!(browser.axe(), [""; 0]);
    let secret = browser.text("#totp-secret");
    browser.type_in("#code", "000000");
    browser.click("#totp-settings button");
    browser.wait_for_text(".news", "The code is wrong");
    assert_eq!(browser.text("#totp-secret"), secret, "the phone has it already");
    let first = code(&secret, "");
    browser.type_in("#code", &first);
    browser.click("#totp-settings button");
    browser.wait_for_text(".news", "One-time codes were turned on.");
    settings.dashboard.kill_9();
    settings.dashboard.start_again();
    let dashboard = &settings.dashboard;
    let visitor = Client::visitor(&dashboard.url);
    assert_eq!(visitor.try_login(&dashboard.password).status, 401);
    let used = format!("{}&totp={first}", dashboard.password);
    assert_eq!(visitor.try_login(&used).status, 401, "a code works once");
    let second = code(&secret, &first);
    let fresh = format!("{}&totp={second}", dashboard.password);
    assert_eq!(visitor.try_login(&fresh).status, 303);
    browser.go(&format!("{}/settings", dashboard.url));
    browser.wait_for_text("#totp-settings", "On: logging in");
    browser.type_in("#code", &second);
    browser.click("#totp-settings button");
    browser.wait_for_text(".news", "The code is wrong, or was used already.");
}

#[test]
fn an_api_token_is_shown_once_and_works_until_it_is_removed() {
    let settings = Settings::open(&[]);
    let browser = &settings.browser;
    browser.type_in("#token-name", "my <script>");
    browser.click("#token-settings .fields button");
    browser.wait_for_text(".news", "It is shown only now.");
    let token = browser.text("#new-secret").trim().to_owned();
    let visitor = Client::visitor(&settings.dashboard.url);
    assert_eq!(visitor.get_with_token("/api/hosts", &token).status, 200);
    browser.wait_for_text("#token-settings", "my <script>");
    browser.click("#token-settings td button");
    browser.wait_for_text(".news", "was removed");
    assert_eq!(visitor.get_with_token("/api/hosts", &token).status, 401);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_shared_token_made_on_the_page_lets_new_hosts_in_until_it_is_taken_back() {
    // The tests' dashboards have a shared token by a variable; this one must not.
    let settings = Settings::open(&[("NIXFLEET_AGENT_TOKEN", "")]);
    let (browser, url) = (&settings.browser, &settings.dashboard.url);
    browser.wait_for_text("#enrolment-settings", "There is no shared token.");
    browser.click("#enrolment-settings button");
    browser.wait_for_text(".news", "A shared token was made.");
    let token = browser.text("#new-secret").trim().to_owned();
    assert!(OldAgent::connect(url, &token, "new").is_ok());
    browser.click("#enrolment-settings form[action$=off] button");
    browser.wait_for_text(".news", "The shared token was taken back.");
    wait_until("it opens nothing any more", || match OldAgent::connect(url, &token, "new") {
        Err(401) => Ok(()),
        Err(other) => Err(format!("{other}")),
        Ok(_) => Err("it is let in".to_owned()),
    });
}

#[test]
fn what_variables_set_cannot_be_changed_on_the_page() {
    let dashboard =
        Dashboard::start(&[("NIXFLEET_TOTP_SECRET", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]);
    let secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    let user = Client::login_with_code(&dashboard.url, &dashboard.password, secret);
    let page = user.get("/settings").text;
    assert!(page.contains("NIXFLEET_TOTP_SECRET"), "{page}");
    assert!(page.contains("NIXFLEET_AGENT_TOKEN"), "{page}");
    let off = user.post_form("/settings/totp/off", &[("code", "123456")]);
    assert_eq!(off.status, 422);
    assert!(off.text.contains("set by NIXFLEET_TOTP_SECRET"), "{off:?}");
    // The address of the answer, opened again, leads back.
    assert_eq!(user.get("/settings/totp/off").status, 303);
}
