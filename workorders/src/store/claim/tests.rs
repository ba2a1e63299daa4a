use super::*;
use crate::problem::{Family, Problem};
use crate::store::test_store::{TestStore, at};

async fn claim(db: &Db, folder: &str, clock: &str) -> Result<StoreClaim, StoreError> {
    db.claim(folder, clock, at("2026-03-02T08:00:00Z")).await
}

#[tokio::test]
async fn a_store_belongs_to_its_first_folder_and_clock() {
    for store in TestStore::all().await {
        let db = &store.db;
        claim(db, "folder-a", "real").await.unwrap().release().await;
        let refused = claim(db, "folder-b", "600x").await.unwrap_err();
        assert_eq!(refused.family(), Family::Refused);
        assert_eq!(refused.code(), "store_other_folder");
        let said = refused.to_string();
        for part in ["folder-a", "`real`", "folder-b", "--store"] {
            assert!(said.contains(part), "{said}");
        }
        let refused = claim(db, "folder-a", "600x").await.unwrap_err();
        assert_eq!(refused.code(), "store_other_clock");
        let said = refused.to_string();
        assert!(said.contains("`real`") && said.contains("`600x`"), "{said}");
        // Nothing of the refused ones is left, the lock neither.
        claim(db, "folder-a", "real").await.unwrap().release().await;
        store.drop_all().await;
    }
}

#[tokio::test]
async fn one_running_service_holds_a_store() {
    for store in TestStore::all().await {
        let other = Db::open(&store.url).await.unwrap();
        let held = claim(&store.db, "folder-a", "real").await.unwrap();
        let refused = claim(&other, "folder-a", "real").await.unwrap_err();
        assert_eq!(refused.family(), Family::Unavailable, "{refused:?}");
        assert_eq!(refused.code(), "store_in_use", "{}", store.kind);
        assert!(!refused.to_string().contains(".lock"), "{refused}");
        held.release().await;
        let held = claim(&other, "folder-a", "real").await.unwrap();
        // A process that is killed only drops it.
        drop(held);
        claim(&store.db, "folder-a", "real")
            .await
            .unwrap()
            .release()
            .await;
        other.close().await;
        store.drop_all().await;
    }
}

/// A fresh store, and two services that start at once: one of them becomes its owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_first_claims_have_one_winner() {
    for store in TestStore::all().await {
        let other = Db::open(&store.url).await.unwrap();
        let (one, two) = tokio::join!(
            claim(&store.db, "folder-a", "real"),
            claim(&other, "folder-b", "real"),
        );
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        other.close().await;
        store.drop_all().await;
    }
}

/// The same file by another name is the same store; another file beside it is not.
#[cfg(unix)]
#[tokio::test]
async fn a_file_is_held_under_every_name() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str| folder.path().join(name);
    let first = Db::open_file(&named("store.db")).await.unwrap();
    let held = claim(&first, "folder-a", "real").await.unwrap();
    std::os::unix::fs::symlink(named("store.db"), named("link.db")).unwrap();
    let second = Db::open_file(&named("link.db")).await.unwrap();
    let refused = claim(&second, "folder-a", "real").await.unwrap_err();
    assert_eq!(refused.code(), "store_in_use");
    let beside = Db::open_file(&named("other.db")).await.unwrap();
    claim(&beside, "folder-b", "real")
        .await
        .unwrap()
        .release()
        .await;
    held.release().await;
}

#[test]
fn a_claim_can_be_kept_anywhere() {
    fn check<T: Send + Sync + 'static>() {}
    check::<StoreClaim>();
}
