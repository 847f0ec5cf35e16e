//! Every path with and without its trailing slash.

use presently_testkit::PASSWORD;
use presently_testkit::http::{OneNode, TestServer, keys};
use serde_json::{Value, json};

use crate::routes::{OPERATIONS, ROUTES, Who};

#[tokio::test]
async fn every_get_answers_the_same_with_and_without_its_slash() {
    let server = TestServer::start().await;
    server.speak_to(OneNode::TellsOfItself);
    let admin = server.admin().await;
    let alice = server.visitor("alice").await;
    for route in ROUTES.iter().filter(|route| route.methods.contains(&"GET")) {
        let path = route.about(alice.id);
        let with = admin.get(&path).await;
        let without = admin.get(path.trim_end_matches('/')).await;
        assert_eq!(with.status, 200, "{path}");
        assert_eq!(without.status, 200, "{path} without its slash");
        assert_eq!(steady(with.json()), steady(without.json()), "{path}");
        assert_eq!(with.header("content-type"), without.header("content-type"), "{path}");
    }
}

/// Without what is told of the whole process, in which other tests run: it changes from one answer to the next.
fn steady(mut body: Value) -> Value {
    for figure in ["resident_bytes", "lateness"] {
        if let Some(figure) = body.get_mut(figure) {
            assert_ne!(figure.take(), Value::Null);
        }
    }
    body
}

#[tokio::test]
async fn every_refusal_is_the_same_with_and_without_the_slash() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    for route in ROUTES.iter().filter(|route| route.who != Who::Anyone) {
        let path = route.about(alice.id);
        for method in route.allowed().chain(route.refused()) {
            let with = server.call(method.clone(), &path).await;
            let without = server.call(method.clone(), path.trim_end_matches('/')).await;
            assert_eq!(with.problem(401, "not_authenticated"), without.problem(401, "not_authenticated"), "{path}");
        }
    }
}

#[tokio::test]
async fn every_wrong_method_is_the_same_with_and_without_the_slash() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let alice = server.account("alice").await;
    for route in ROUTES {
        let path = route.about(alice);
        for method in route.refused() {
            let with = admin.call(method.clone(), &path).await;
            let without = admin.call(method.clone(), path.trim_end_matches('/')).await;
            assert_eq!(with.status, without.status, "{method} {path}");
            assert_eq!(with.json()["code"], without.json()["code"], "{method} {path}");
            assert_eq!(with.header("allow"), without.header("allow"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_post_works_without_its_slash() {
    let server = TestServer::start_with(|settings| settings.registration = presently_server::Registration::Open).await;
    let admin = server.admin().await;
    let id = server.account("alice").await;
    for base in ["auth", "users"] {
        let login = json!({"username": "alice", "password": PASSWORD});
        let signed_in = server.post(&format!("/api/{base}/login")).json(login).await.ok();
        assert_eq!(keys(&signed_in), ["tokens", "user"]);
        let refresh = json!({"refresh": signed_in["tokens"]["refresh"]});
        let pair = server.post(&format!("/api/{base}/refresh")).json(refresh).await.ok();
        let access = pair["access"].as_str().unwrap();
        server.post(&format!("/api/{base}/verify")).json(json!({"token": access})).await.ok();
        server.post(&format!("/api/{base}/logout")).bearer(access).await.ok();
        let alice = server.login("alice").await;
        alice.post(&format!("/api/{base}/logout-all")).await.ok();
        let register = json!({"username": format!("new-{base}"), "password": PASSWORD});
        server.post(&format!("/api/{base}/register")).json(register).await.is(201);
    }
    let alice = server.login("alice").await;
    alice.post("/api/users/heartbeat").await.ok();
    for act in ["force-logout", "suspend", "activate", "ban", "activate", "approve"] {
        admin.post(&format!("/api/users/admin/users/{id}/{act}")).await.ok();
    }
    admin.post(&format!("/api/users/admin/users/{id}/set-online-status")).json(json!({"status": "away"})).await.ok();
    let draft = json!({"username": "carol", "email": "carol@example.org", "password": PASSWORD});
    admin.post("/api/users/admin/users").json(draft).await.is(201);
    admin.patch(&format!("/api/users/admin/users/{id}")).json(json!({"first_name": "Alice"})).await.ok();
    admin.delete(&format!("/api/users/admin/users/{id}")).await.is(204);
}

#[tokio::test]
async fn a_query_survives_a_missing_slash() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.account("alice").await;
    let page = admin.get("/api/users/admin/users?search=alice&per_page=1").await.ok();
    assert_eq!(page["count"], 1);
    assert_eq!(page["results"][0]["username"], "alice");
}

#[tokio::test]
async fn the_operations_paths_answer_with_and_without_a_slash() {
    let server = TestServer::start().await;
    for path in OPERATIONS {
        let without = server.get(path).await;
        let with = server.get(&format!("{path}/")).await;
        assert_eq!(without.status, 200, "{path}");
        assert_eq!(with.status, 200, "{path}/");
        assert_eq!(with.header("content-type"), without.header("content-type"), "{path}/");
    }
}

#[tokio::test]
async fn an_unknown_path_is_unknown_either_way() {
    let server = TestServer::start().await;
    for path in ["/api/nothing", "/api/nothing/", "/nothing", "/api/users", "/api/users/", "/api", "/api/auth/"] {
        let answer = server.get(path).await;
        answer.problem(404, "not_found");
    }
}
