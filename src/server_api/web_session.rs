//! Sessions of browsers: what a sign-in by password is good for, and for how long. Kept in memory only; a restart signs
//! everybody out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use silentmon_proto::ids::SupervisorName;

use crate::secret::Secret;
use crate::users::{PasswordHash, UserFile};

/// A session that nothing is asked with for so long is over.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// No session lasts longer.
pub const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// Most sessions of one user; a new one ends the one that was used least lately.
const MOST_OF_USER: usize = 8;
/// Most sessions; beyond it nobody signs in until some have ended.
const MOST: usize = 4096;
/// A token as it is kept: only its hash, so that the time of looking it up says nothing of it.
type Key = [u8; 32];

#[derive(Debug)]
struct WebSession {
    user: SupervisorName,
    /// The hash of the password that it was begun with: another password ends it.
    password: PasswordHash,
    begun: Instant,
    used: Instant,
}

impl WebSession {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE || now.saturating_duration_since(self.begun) >= LONGEST
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct WebSessions(Mutex<HashMap<Key, WebSession>>);

impl WebSessions {
    /// Begins a session, and answers with the token that a browser is to show; `None` where there are too many, or no
    /// random numbers.
    pub fn begin(&self, user: &SupervisorName, password: &PasswordHash, now: Instant) -> Option<Secret> {
        let token = Secret::random().ok()?;
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.is_over(now));
        let own = sessions.iter().filter(|(_, session)| session.user == *user);
        let own: Vec<_> = own.map(|(key, session)| (session.used, *key)).collect();
        if own.len() >= MOST_OF_USER
            && let Some((_, oldest)) = own.into_iter().min()
        {
            sessions.remove(&oldest);
        }
        if sessions.len() >= MOST {
            return None;
        }
        let session = WebSession {
            user: user.clone(),
            password: password.clone(),
            begun: now,
            used: now,
        };
        sessions.insert(key(token.expose()), session);
        Some(token)
    }

    /// Whose session a token is of, while he may still sign in with the password that it was begun with.
    pub fn user(&self, token: &str, users: &UserFile, now: Instant) -> Option<SupervisorName> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(token);
        let session = sessions.get_mut(&key)?;
        let known = users.user(&session.user);
        if session.is_over(now) || known.is_none_or(|user| user.password != session.password) {
            sessions.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.user.clone())
    }

    /// Ends a session.
    pub fn end(&self, token: &str) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&key(token));
    }
}

fn key(token: &str) -> Key {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use silentmon_capture_core::policy::Role;

    use super::*;
    use crate::users::User;

    fn users() -> (UserFile, PasswordHash) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut users = UserFile::read(&folder.path().join("none")).expect("none");
        let password = PasswordHash::of("correct horse").expect("hashes");
        users.put(User {
            name: "anna".into(),
            role: Role::Supervisor,
            password: password.clone(),
        });
        (users, password)
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_at_most_for_half_a_day() {
        let ((users, password), sessions, begun) = (users(), WebSessions::default(), Instant::now());
        let anna = SupervisorName::from("anna");
        let token = sessions.begin(&anna, &password, begun).expect("begins");
        let at = |minutes: u64| sessions.user(token.expose(), &users, begun + Duration::from_secs(60 * minutes));
        for minutes in (29..=719).step_by(29) {
            assert_eq!(at(minutes), Some(anna.clone()), "{minutes}");
        }
        assert_eq!(at(720), None);
        let token = sessions.begin(&anna, &password, begun).expect("begins");
        assert_eq!(sessions.user(token.expose(), &users, begun + IDLE), None);
        assert_eq!(sessions.user("0", &users, begun), None);
    }

    #[test]
    fn a_session_ends_with_its_user_his_password_and_his_wish() {
        let ((mut users, password), sessions, now) = (users(), WebSessions::default(), Instant::now());
        let anna = SupervisorName::from("anna");
        let begin = || sessions.begin(&anna, &password, now).expect("begins");
        let [first, second, third] = [begin(), begin(), begin()];
        sessions.end(first.expose());
        assert_eq!(sessions.user(first.expose(), &users, now), None);
        assert!(sessions.user(second.expose(), &users, now).is_some());
        users.put(User {
            name: anna.clone(),
            role: Role::Supervisor,
            password: PasswordHash::of("another horse").expect("hashes"),
        });
        assert_eq!(sessions.user(second.expose(), &users, now), None);
        users.remove(&anna);
        assert_eq!(sessions.user(third.expose(), &users, now), None);
    }

    #[test]
    fn one_user_has_so_many_sessions_and_no_more() {
        let ((users, password), sessions, now) = (users(), WebSessions::default(), Instant::now());
        let anna = SupervisorName::from("anna");
        let tokens: Vec<_> = (0..9_u64)
            .map(|second| {
                let at = now + Duration::from_secs(second);
                sessions.begin(&anna, &password, at).expect("begins")
            })
            .collect();
        let live = tokens
            .iter()
            .filter(|token| sessions.user(token.expose(), &users, now).is_some());
        assert_eq!(live.count(), MOST_OF_USER);
        assert_eq!(sessions.user(tokens[0].expose(), &users, now), None, "the oldest went");
    }
}
