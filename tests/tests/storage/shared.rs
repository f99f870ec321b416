//! Accounts of all tasks, and objects.

use tacit_privacy::Rho;
use tacit_privacy::canonical::digest;
use tacit_server::storage::ObjectError;
use tacit_types::{DeviceId, Digest, TaskId};

use super::Kind;

fn task(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn rho(units: u128) -> Rho {
    Rho::saturating_from_units(units)
}

fn total(device: u8, units: u128) -> (DeviceId, Rho) {
    (DeviceId([device; 16]), rho(units))
}

#[test]
fn a_device_is_told_of_every_task_and_of_each_once() {
    for kind in Kind::all() {
        let accounts = kind.accounts();
        let spent = |device| accounts.spent(DeviceId([device; 16])).wait().unwrap();
        let settle = |name, totals, line| {
            accounts
                .settle(task(name), totals, line)
                .wait()
                .unwrap()
        };
        assert_eq!(spent(1), Rho::ZERO);

        let line = Some(Digest([1; 32]));
        settle("films", vec![total(1, 5), total(2, 7)], line);
        settle("books", vec![total(1, 10)], line);
        // A total said again, as after a crash.
        settle("books", vec![total(1, 10)], line);
        assert_eq!((spent(1), spent(2), spent(3)), (rho(15), rho(7), Rho::ZERO));
        settle("films", vec![total(1, 6)], line);
        assert_eq!((spent(1), spent(2)), (rho(16), rho(7)));
        drop(accounts);

        let again = kind.accounts();
        assert_eq!(again.spent(DeviceId([1; 16])).wait().unwrap(), rho(16));
    }
}

#[test]
fn a_task_is_settled_with_its_last_piece() {
    for kind in Kind::all() {
        let accounts = kind.accounts();
        let settled = |name| accounts.settled(task(name)).wait().unwrap();
        let (first, second) = (Digest([1; 32]), Digest([2; 32]));
        assert_eq!(settled("films"), None);
        let settle = |line| {
            accounts
                .settle(task("films"), vec![], line)
                .wait()
                .unwrap()
        };
        settle(None);
        assert_eq!(settled("films"), Some(Digest([0; 32])));
        settle(Some(first));
        settle(None);
        assert_eq!(settled("films"), Some(first));
        settle(Some(second));
        assert_eq!((settled("films"), settled("books")), (Some(second), None));
    }
}

#[tokio::test]
async fn an_object_is_found_by_its_hash_and_stored_once() {
    for kind in Kind::all() {
        let objects = kind.objects();
        let hash = objects.put(b"model".to_vec()).await.unwrap();
        assert_eq!(hash, digest(b"model"));
        assert_eq!(objects.put(b"model".to_vec()).await.unwrap(), hash);
        assert_eq!(objects.get(hash).await.unwrap(), b"model");
        let unknown = Digest([7; 32]);
        let found = objects.get(unknown).await;
        assert!(matches!(found, Err(ObjectError::NotFound(name)) if name == unknown));
        drop(objects);
        assert_eq!(kind.objects().get(hash).await.unwrap(), b"model");
    }
}
