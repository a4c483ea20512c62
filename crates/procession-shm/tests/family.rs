//! smoke
use procession_shm::family;
#[test]
fn founding() {
    let me = family::me().unwrap();
    assert!(family::is_alive(me));
    assert_eq!(family::pid_of(me), Some(std::process::id()));
    assert!(family::verify(me));
    let invitation = family::invite().unwrap();
    assert!(!family::is_alive(invitation.member()));
}
