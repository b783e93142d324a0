//! Sessions of browsers: what a sign-in by password or ID token is good for, and for how long. Kept in memory only; a
//! restart signs everybody out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use silentmon_capture_core::policy::{Means, Role};
use silentmon_proto::ids::SupervisorName;

use crate::secret::Secret;
use crate::users::{PasswordHash, UserFile};

/// A session that nothing is asked with for so long is over.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// No session lasts longer.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// Most sessions of one user; a new one ends the one that was used least lately.
const MOST_OF_USER: usize = 8;
/// Most sessions; beyond it nobody signs in until some have ended.
const MOST: usize = 4096;
/// A token as it is kept: only its hash, so that the time of looking it up says nothing of it.
type Key = [u8; 32];

#[derive(Debug)]
struct WebSession {
    user: SupervisorName,
    proof: Proof,
    begun: Instant,
    used: Instant,
}

/// What a session was begun with.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A password, by its hash: another password ends the session.
    Password(PasswordHash),
    /// An ID token, in this role; it is believed for so long.
    Token(Role, Duration),
}

impl Proof {
    /// How long a session lasts at most that is begun with it.
    pub fn longest(&self) -> Duration {
        match self {
            Self::Password(_) => LONGEST,
            Self::Token(_, lasting) => LONGEST.min(*lasting),
        }
    }
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// His name.
    pub name: SupervisorName,
    /// What he may be.
    pub role: Role,
    /// How he proved who he is.
    pub means: Means,
}

impl WebSession {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE
            || now.saturating_duration_since(self.begun) >= self.proof.longest()
    }

    /// In which role he is in now, if he still may.
    fn holder(&self, users: Option<&UserFile>) -> Option<Holder> {
        let (role, means) = match &self.proof {
            Proof::Token(role, _) => (*role, Means::Oidc),
            Proof::Password(password) => {
                let user = users.and_then(|users| users.user(&self.user))?;
                (user.password == *password).then_some((user.role, Means::Password))?
            }
        };
        let name = self.user.clone();
        Some(Holder { name, role, means })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct WebSessions(Mutex<HashMap<Key, WebSession>>);

impl WebSessions {
    /// Begins a session, and answers with the token that a browser is to show; `None` where there are too many, or no
    /// random numbers.
    pub fn begin(&self, user: &SupervisorName, proof: Proof, now: Instant) -> Option<Secret> {
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
            proof,
            begun: now,
            used: now,
        };
        sessions.insert(key(token.expose()), session);
        Some(token)
    }

    /// Whose session a token is of, while what it was begun with is still good.
    pub fn holder(&self, token: &str, users: Option<&UserFile>, now: Instant) -> Option<Holder> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(token);
        let session = sessions.get_mut(&key)?;
        let holder = session.holder(users).filter(|_| !session.is_over(now));
        if holder.is_none() {
            sessions.remove(&key);
            return None;
        }
        session.used = now;
        holder
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

    impl WebSessions {
        fn user(&self, token: &str, users: &UserFile, now: Instant) -> Option<SupervisorName> {
            self.holder(token, Some(users), now).map(|holder| holder.name)
        }
    }

    fn by(password: &PasswordHash) -> Proof {
        Proof::Password(password.clone())
    }

    #[test]
    fn a_session_by_a_token_is_that_of_its_role_for_its_time_and_needs_no_user() {
        let (sessions, begun) = (WebSessions::default(), Instant::now());
        let (anna, lasting) = (SupervisorName::from("anna"), Duration::from_secs(600));
        let proof = Proof::Token(Role::Quality, lasting);
        let token = sessions.begin(&anna, proof, begun).expect("begins");
        let holder = Holder {
            name: anna,
            role: Role::Quality,
            means: Means::Oidc,
        };
        let just_before = begun + Duration::from_secs(599);
        assert_eq!(sessions.holder(token.expose(), None, just_before), Some(holder));
        assert_eq!(sessions.holder(token.expose(), None, begun + lasting), None);
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_at_most_for_half_a_day() {
        let ((users, password), sessions, begun) = (users(), WebSessions::default(), Instant::now());
        let anna = SupervisorName::from("anna");
        let token = sessions.begin(&anna, by(&password), begun).expect("begins");
        let at = |minutes: u64| sessions.user(token.expose(), &users, begun + Duration::from_secs(60 * minutes));
        for minutes in (29..=719).step_by(29) {
            assert_eq!(at(minutes), Some(anna.clone()), "{minutes}");
        }
        assert_eq!(at(720), None);
        let token = sessions.begin(&anna, by(&password), begun).expect("begins");
        assert_eq!(sessions.user(token.expose(), &users, begun + IDLE), None);
        assert_eq!(sessions.user("0", &users, begun), None);
    }

    #[test]
    fn a_session_ends_with_its_user_his_password_and_his_wish() {
        let ((mut users, password), sessions, now) = (users(), WebSessions::default(), Instant::now());
        let anna = SupervisorName::from("anna");
        let begin = || sessions.begin(&anna, by(&password), now).expect("begins");
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
                sessions.begin(&anna, by(&password), at).expect("begins")
            })
            .collect();
        let live = tokens
            .iter()
            .filter(|token| sessions.user(token.expose(), &users, now).is_some());
        assert_eq!(live.count(), MOST_OF_USER);
        assert_eq!(sessions.user(tokens[0].expose(), &users, now), None, "the oldest went");
    }
}
