use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use argon2::password_hash::PasswordHasher as _;
use argon2::{Argon2, Params};

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// With cheap parameters: tests check many.
pub(crate) fn cheap_hash(password: &str) -> String {
    let cheap = Argon2::from(Params::new(64, 1, 1, None).unwrap());
    cheap
        .hash_password(password.as_bytes())
        .unwrap()
        .to_string()
}

pub(crate) fn user(name: &str, publish: &[&str], subscribe: &[&str]) -> User {
    let owned = |patterns: &[&str]| patterns.iter().map(|one| (*one).to_owned()).collect();
    User {
        name: name.to_owned(),
        password_hash: cheap_hash(&format!("{name}-secret")),
        publish: owned(publish),
        subscribe: owned(subscribe),
    }
}

#[tokio::test]
async fn users_come_in_with_their_password_and_nobody_else() {
    let users = [user("press", &[], &[]), user("board", &[], &[])];
    assert!(!format!("{users:?}").contains("argon2id"));
    let access = Access::new(&users, Some("token".into())).unwrap();
    for (name, password, expected) in [
        (Some("press"), Some("press-secret"), true),
        (Some("press"), Some("press-secret"), true),
        (Some("board"), Some("press-secret"), false),
        (Some("press"), Some(""), false),
        (Some("press"), None, false),
        (Some("nobody"), Some("press-secret"), false),
        (None, Some("token"), false),
        (None, None, false),
        (Some("board"), Some("board-secret"), true),
    ] {
        let password = password.map(str::as_bytes);
        let admitted = access.admit(name, password, HERE).await;
        let expected = expected.then(|| name.map(str::to_owned));
        assert_eq!(admitted.ok(), expected, "{name:?}");
    }
    assert!(access.knows(Some("press")) && !access.knows(Some("nobody")) && !access.knows(None));
}

#[tokio::test]
async fn without_users_the_token_or_the_machine_decides() {
    let with_token = Access::new(&[], Some("sesame".into())).unwrap();
    for (password, expected) in [
        ("sesame", true),
        ("sesam", false),
        ("sesamf", false),
        ("", false),
    ] {
        let admitted = with_token.admit(Some("any"), Some(password.as_bytes()), THERE);
        assert_eq!(admitted.await.is_ok(), expected, "{password}");
    }
    let open = Access::new(&[], None).unwrap();
    for (peer, expected) in [
        (HERE, Ok(None)),
        (IpAddr::V6(Ipv6Addr::LOCALHOST), Ok(None)),
        (THERE, Err(Denied::NotLocal)),
    ] {
        assert_eq!(open.admit(Some("a"), Some(b"b"), peer).await, expected);
    }
    assert!(open.rights(None, "c").may_publish("any/thing"));
    assert!(open.rights(None, "c").may_subscribe("#"));
}

#[test]
fn rights_are_what_is_written_and_nothing_else() {
    let users = [user(
        "press",
        &["plant/{user}/#", "from/{client}"],
        &["to/{client}/+", "$SYS/#"],
    )];
    let access = Access::new(&users, None).unwrap();
    let rights = access.rights(Some("press"), "c1");
    for (name, expected) in [
        ("plant/press/a/b", true),
        ("plant/board/a", false),
        ("from/c1", true),
        ("from/c2", false),
        ("other", false),
    ] {
        assert_eq!(rights.may_publish(name), expected, "{name}");
    }
    for (filter, expected) in [
        ("to/c1/+", true),
        ("to/c1/x", true),
        ("to/c1/#", false),
        ("to/+/x", false),
        ("#", false),
        ("$SYS/x", true),
    ] {
        assert_eq!(rights.may_subscribe(filter), expected, "{filter}");
    }
    for client in ["+", "#", "a/b", ""] {
        let rights = access.rights(Some("press"), client);
        assert!(!rights.may_publish("from/x"), "{client}");
        assert!(!rights.may_subscribe("to/x/y"), "{client}");
        assert!(rights.may_publish("plant/press/a"), "{client}");
    }
}

#[test]
fn every_mistake_of_a_list_is_told() {
    let mut broken = user("b", &["a/#/b"], &[""]);
    broken.password_hash = "plain".into();
    let mut argon2i = user("c", &[], &[]);
    argon2i.password_hash = argon2i.password_hash.replace("argon2id", "argon2i");
    let users = [
        user("a", &[], &[]),
        user("a", &[], &[]),
        broken,
        argon2i,
        user("", &[], &[]),
    ];
    let mistakes = User::mistakes(&users);
    assert_eq!(mistakes.len(), 6, "{mistakes:?}");
    assert!(Access::new(&users, None).is_err());
}

#[test]
fn a_printed_hash_is_one_that_can_be_configured() {
    assert_eq!(hash_password(""), Err(HashError::Empty));
    let hash = hash_password("secret").unwrap();
    assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
    assert_ne!(hash, hash_password("secret").unwrap(), "a salt of its own");
    let stored = StoredHash::read(&hash).unwrap();
    assert!(stored.is_of(b"secret") && !stored.is_of(b"secret2"));
}
