//! Presence for servers built on tower: **every authenticated request is evidence of life, and none fails for it.**

use std::task::{Context, Poll};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Presently, SessionId, UserId};

/// Makes each request of a known user evidence of life before the inner service is called.
///
/// `identify` says who asks and in which session, from what an authentication layer outside of this one left in the request;
/// `None` is nobody. A request whose evidence is refused (a barred user, a server at its limit) goes on all the same.
#[derive(Clone, Debug)]
pub struct PresenceLayer<F> {
    presently: Presently,
    identify: F,
}

impl<F> PresenceLayer<F> {
    /// A layer for all requests that `identify` knows.
    pub fn new<B>(presently: Presently, identify: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<(UserId, SessionId)>,
    {
        Self { presently, identify }
    }
}

impl<S, F: Clone> Layer<S> for PresenceLayer<F> {
    type Service = PresenceService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        PresenceService { inner, layer: self.clone() }
    }
}

/// The service that a [`PresenceLayer`] makes.
#[derive(Clone, Debug)]
pub struct PresenceService<S, F> {
    inner: S,
    layer: PresenceLayer<F>,
}

impl<S, F, B> Service<Request<B>> for PresenceService<S, F>
where
    S: Service<Request<B>>,
    F: Fn(&Request<B>) -> Option<(UserId, SessionId)>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some((user, session)) = (self.layer.identify)(&request)
            && let Err(error) = self.layer.presently.paced(&user, &session, None, || true)
        {
            tracing::trace!(%error, "a request was no evidence");
        }
        self.inner.call(request)
    }
}
