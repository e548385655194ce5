//! Users, tokens, peers and the audit trail.

use crate::support::{everywhere, postgres_and_folder, sqlite_and_folder};
use pacs_core::AeTitle;
use storage::{ArchiveError, AuditAction, AuditRecord, Peer, Role, Token, Workflow};

/// Where those who sign in come from.
const HERE: &str = "192.0.2.1";

#[tokio::test]
async fn people_sign_in_and_out_and_only_hashes_stay() {
    everywhere(async |archive| {
        let password = archive.first_admin().await.expect("a start").expect("the first one");
        assert_eq!(archive.first_admin().await.expect("a start"), None);
        let (admin, session) = archive.sign_in("admin", &password, HERE).await.expect("a session");
        assert!(admin.is_admin() && admin.may_store());
        assert_eq!(archive.authenticate(&session).await.expect("an answer"), Some(admin));
        archive.sign_out(&session).await.expect("signed out");
        assert_eq!(archive.authenticate(&session).await.expect("an answer"), None);
        for (name, password) in [("admin", "wrong"), ("nobody", &*password), ("admin\0", "x")] {
            assert!(matches!(archive.sign_in(name, password, HERE).await, Err(ArchiveError::Credentials)), "{name:?}");
        }

        archive.add_user("li", "correct horse", &[Role::Viewer, Role::Technician]).await.expect("a user");
        for (name, password) in
            [("li", "correct horse"), ("", "correct horse"), ("a:b", "correct horse"), ("b", "short")]
        {
            let refused = archive.add_user(name, password, &[Role::Viewer]).await;
            assert!(matches!(refused, Err(ArchiveError::Conflict(_))), "{name:?}");
        }
        let token = archive.create_token("li", "scanner").await.expect("a token");
        assert!(matches!(archive.create_token("li", "scanner").await, Err(ArchiveError::Conflict(_))));
        assert!(matches!(archive.create_token("nobody", "t").await, Err(ArchiveError::NotFound(_))));
        let li = archive.authenticate(&token).await.expect("an answer").expect("li");
        assert_eq!((li.name.as_str(), li.roles.as_slice()), ("li", &[Role::Viewer, Role::Technician][..]));

        let (_, session) = archive.sign_in("li", "correct horse", HERE).await.expect("a session");
        archive.set_password("li", "battery staple").await.expect("changed");
        assert_eq!(archive.authenticate(&session).await.expect("an answer"), None, "a new password ends sessions");
        assert!(archive.authenticate(&token).await.expect("an answer").is_some());
        let tokens = archive.tokens().await.expect("tokens");
        assert!(matches!(&*tokens, [Token { user, name, .. }] if user == "li" && name == "scanner"), "no session");
        assert!(tokens[0].created_at > 1_700_000_000_000);
        archive.revoke_token("li", "scanner").await.expect("revoked");
        assert_eq!(archive.authenticate(&token).await.expect("an answer"), None);
        assert!(matches!(archive.remove_user("admin").await, Err(ArchiveError::Conflict(_))), "the last administrator");
        archive.remove_user("li").await.expect("removed");
        assert_eq!(archive.users().await.expect("users").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn guesses_are_slowed_down() {
    let home = sqlite_and_folder();
    let archive = home.open().await;
    archive.add_user("li", "correct horse", &[Role::Viewer]).await.expect("a user");
    for _ in 0..5 {
        assert!(matches!(archive.sign_in("li", "guess", HERE).await, Err(ArchiveError::Credentials)));
    }
    let right = async |address| archive.sign_in("li", "correct horse", address).await;
    assert!(matches!(right(HERE).await, Err(ArchiveError::TooManyAttempts(_))));
    assert!(right("192.0.2.2").await.is_ok(), "from elsewhere");
}

#[tokio::test]
async fn peers_are_kept() {
    everywhere(async |archive| {
        let title: AeTitle = "CT1".parse().expect("a title");
        let mut peer = Peer { may_store: true, ..Peer::new(title.clone()) };
        archive.put_peer(&peer).await.expect("kept");
        peer.host = Some("ct1.example".into());
        peer.port = Some(104);
        peer.tls = true;
        peer.workflow = Workflow::ALL;
        peer.certificate = Some([7; 32].into());
        peer.view = "ModalitiesInStudy=US&InstitutionName=East*".parse().expect("a view");
        peer.max_associations = Some(4);
        archive.put_peer(&peer).await.expect("kept");
        assert_eq!(archive.peers().await.expect("peers"), [peer]);
        archive.remove_peer(&title).await.expect("removed");
        assert!(matches!(archive.remove_peer(&title).await, Err(ArchiveError::NotFound(_))));
    })
    .await;
}

#[tokio::test]
async fn the_audit_trail_shows_where_it_was_touched() {
    for home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
        let archive = home.open().await;
        for n in 0..5 {
            let record = AuditRecord {
                at: 0,
                action: AuditAction::Query,
                actor: "li".into(),
                origin: "127.0.0.1".into(),
                success: true,
                study: None,
                detail: format!("query {n}"),
            };
            archive.audit(&record).await.expect("written");
        }
        let trail = archive.audit_trail(2).await.expect("a trail");
        assert_eq!((trail.len(), trail[0].detail.as_str(), trail[0].at > 0), (2, "query 4", true));
        assert_eq!(archive.verify_audit_trail().await.expect("a check"), None);

        sqlx::any::install_default_drivers();
        let file = format!("sqlite://{}/index.sqlite", home.config.data_dir.display());
        let database = sqlx::AnyPool::connect(home.config.database_url.as_deref().unwrap_or(&file)).await.expect("it");
        let tamper = async |sql: &'static str| {
            sqlx::query(sql).execute(&database).await.expect("tampered");
        };
        tamper("delete from audit where position = 5").await;
        assert_eq!(archive.verify_audit_trail().await.expect("a check"), Some(5));
        tamper("update audit set actor = 'someone else' where position = 3").await;
        assert_eq!(archive.verify_audit_trail().await.expect("a check"), Some(3));
    }
}
