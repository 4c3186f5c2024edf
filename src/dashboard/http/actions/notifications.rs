//! Who is told what: channels, and what they have in common.

use super::super::error::HttpError;
use super::super::extract::Admin;
use crate::dashboard::notify::{
    NewChannel, NewSettings, PutChannel, PutSettings, RemoveChannel, TestChannel,
};
use crate::domain::audit::AuditCategory;

/// Adds a channel, or changes the one of this name.
pub(in crate::dashboard::http) async fn put_channel(
    admin: &Admin,
    name: &str,
    wanted: NewChannel,
) -> Result<(), HttpError> {
    admin.notifier().send(PutChannel { name: name.to_owned(), wanted }).await??;
    record(admin, format!("Notification channel {name} was set up.")).await;
    Ok(())
}

/// Removes a channel, and what it was to be told.
pub(in crate::dashboard::http) async fn remove_channel(
    admin: &Admin,
    name: &str,
) -> Result<(), HttpError> {
    admin.notifier().send(RemoveChannel(name.to_owned())).await??;
    record(admin, format!("Notification channel {name} was removed.")).await;
    Ok(())
}

/// Sends a channel a message now. The error says why it was not delivered.
pub(in crate::dashboard::http) async fn test_channel(
    admin: &Admin,
    name: &str,
) -> Result<(), HttpError> {
    admin.notifier().send(TestChannel(name.to_owned())).await??;
    record(admin, format!("Notification channel {name} was sent a test message.")).await;
    Ok(())
}

/// Changes what all channels have in common.
pub(in crate::dashboard::http) async fn notification_settings(
    admin: &Admin,
    wanted: NewSettings,
) -> Result<(), HttpError> {
    admin.notifier().send(PutSettings(wanted)).await??;
    record(admin, "The settings of notifications were changed.".to_owned()).await;
    Ok(())
}

async fn record(admin: &Admin, message: String) {
    admin.record(AuditCategory::Settings, message).await;
}
