//! Presence for applications: users are named by strings here.

mod ask;
mod events;
mod explain;
mod history;
mod leave;
mod me;
mod tickets;
mod ws;

use axum::extract::FromRequestParts;
use http::request::Parts;
use presently::Viewer;
use utoipa_axum::routes;

use super::Documented;
use crate::identify::{By, Identity};
use crate::problem::Problem;
use crate::push::viewer;

/// Routes for signed-in users.
pub(super) fn active() -> Vec<Documented> {
    vec![routes!(me::me, me::set_me), routes!(leave::leave)]
}

/// Routes for signed-in users and for applications.
pub(super) fn caller() -> Vec<Documented> {
    vec![
        routes!(ask::query),
        routes!(ask::online),
        routes!(ask::count),
        routes!(tickets::tickets),
        routes!(events::events),
        routes!(ask::presence),
        routes!(history::history),
    ]
}

/// Routes for admins.
pub(super) fn admin() -> Vec<Documented> {
    vec![routes!(explain::explain)]
}

/// The route of the socket, whose callers may say later who they are.
pub(super) fn socket() -> Vec<Documented> {
    vec![routes!(ws::ws)]
}

/// Through whose eyes the caller looks.
#[derive(Debug)]
pub(crate) struct Eyes(pub(crate) Viewer);

impl<S: Sync> FromRequestParts<S> for Eyes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Some(Identity::Application(_)) = parts.extensions.get() {
            return Ok(Self(Viewer::Anybody));
        }
        let By(caller) = By::from_request_parts(parts, state).await?;
        Ok(Self(viewer(&caller)))
    }
}
