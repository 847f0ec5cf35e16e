//! Every path of the accounts, presence and administration families, with who may call it and how.

use reqwest::Method;

/// Who may call a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Everybody.
    Anyone,
    /// Whoever is signed in.
    Token,
    /// Admins.
    Admin,
}

/// One path and its methods.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) methods: &'static [&'static str],
    pub(crate) who: Who,
}

impl Route {
    /// The path, about this user.
    pub(crate) fn about(&self, id: i64) -> String {
        let id = id.to_string();
        self.path.replace("{id}", &id).replace("{user_id}", &id).replace("{session}", "none-of-theirs")
    }

    /// Whether the path is about one user.
    pub(crate) fn is_about_somebody(&self) -> bool {
        self.path.contains("{id}")
    }

    /// The methods that are allowed here.
    pub(crate) fn allowed(&self) -> impl Iterator<Item = Method> {
        self.methods.iter().map(|method| method.parse().expect("a method"))
    }

    /// The methods that are not.
    pub(crate) fn refused(&self) -> impl Iterator<Item = Method> {
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
        methods
            .into_iter()
            .filter(|method| !self.methods.contains(method))
            .map(|method| method.parse().expect("a method"))
    }
}

/// All of them.
pub(crate) const ROUTES: &[Route] = &[
    route("/api/auth/login/", &["POST"], Who::Anyone),
    route("/api/auth/refresh/", &["POST"], Who::Anyone),
    route("/api/auth/verify/", &["POST"], Who::Anyone),
    route("/api/auth/register/", &["POST"], Who::Anyone),
    route("/api/auth/logout/", &["POST"], Who::Token),
    route("/api/auth/logout-all/", &["POST"], Who::Token),
    route("/api/auth/profile/", &["GET", "PUT", "PATCH"], Who::Token),
    route("/api/auth/password/", &["POST"], Who::Token),
    route("/api/auth/sessions/", &["GET"], Who::Token),
    route("/api/auth/sessions/{session}/", &["DELETE"], Who::Token),
    route("/api/users/login/", &["POST"], Who::Anyone),
    route("/api/users/refresh/", &["POST"], Who::Anyone),
    route("/api/users/verify/", &["POST"], Who::Anyone),
    route("/api/users/register/", &["POST"], Who::Anyone),
    route("/api/users/logout/", &["POST"], Who::Token),
    route("/api/users/logout-all/", &["POST"], Who::Token),
    route("/api/users/profile/", &["GET", "PUT", "PATCH"], Who::Token),
    route("/api/users/heartbeat/", &["GET", "POST"], Who::Token),
    route("/api/users/all-users/", &["GET"], Who::Token),
    route("/api/users/admin/users/", &["GET", "POST"], Who::Admin),
    route("/api/users/admin/users/online/", &["GET"], Who::Token),
    route("/api/users/admin/users/{id}/", &["GET", "PUT", "PATCH", "DELETE"], Who::Admin),
    route("/api/users/admin/users/{id}/online-status/", &["GET"], Who::Token),
    route("/api/users/admin/users/{id}/set-online-status/", &["POST"], Who::Admin),
    route("/api/users/admin/users/{id}/force-logout/", &["POST"], Who::Admin),
    route("/api/users/admin/users/{id}/suspend/", &["POST"], Who::Admin),
    route("/api/users/admin/users/{id}/ban/", &["POST"], Who::Admin),
    route("/api/users/admin/users/{id}/activate/", &["POST"], Who::Admin),
    route("/api/users/admin/users/{id}/approve/", &["POST"], Who::Admin),
    route("/api/users/admin/users/{id}/sessions/", &["GET"], Who::Admin),
    route("/api/users/admin/users/{id}/sessions/{session}/", &["DELETE"], Who::Admin),
    route("/api/users/admin/overview/", &["GET"], Who::Admin),
    route("/api/users/admin/overview/samples/", &["GET"], Who::Admin),
    route("/api/users/admin/audit/", &["GET"], Who::Admin),
    route("/api/presence/query/", &["POST"], Who::Token),
    route("/api/presence/online/", &["GET"], Who::Token),
    route("/api/presence/count/", &["GET"], Who::Token),
    route("/api/presence/me/", &["GET", "PUT"], Who::Token),
    route("/api/presence/tickets/", &["POST"], Who::Token),
    route("/api/presence/leave/", &["POST"], Who::Token),
    route("/api/presence/{user_id}/", &["GET"], Who::Token),
    route("/api/presence/{user_id}/history/", &["GET"], Who::Token),
    route("/api/presence/{user_id}/explain/", &["GET"], Who::Admin),
];

/// Those of operations, and the files of the browser's half.
pub(crate) const OPERATIONS: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/openapi.json",
    "/api/docs",
    "/admin",
    "/sdk/presently.js",
    "/sdk/dot.js",
    "/admin/session",
    "/admin/troubleshooting",
];

const fn route(path: &'static str, methods: &'static [&'static str], who: Who) -> Route {
    Route { path, methods, who }
}
