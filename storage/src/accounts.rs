//! Users, roles, sessions and API tokens.
//!
//! Passwords are kept as Argon2id, secrets of sessions and tokens as SHA-256: they are random 256 bits, which no
//! guessing reaches.

use crate::{archive::Archive, clock::now, error::ArchiveError, jwt::Jwt, password};
use base64::Engine;
use sha2::{Digest, Sha256};
use sqlx::Row;
use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

/// A session ends when it has not been used for this long.
const SESSION_MILLIS: i64 = 12 * 60 * 60 * 1000;
/// How long a checked secret is believed without asking the database: so long does another process' revocation take.
const BELIEVED: Duration = Duration::from_secs(10);
const BELIEVED_AT_MOST: usize = 4096;
const SHORTEST_PASSWORD: usize = 8;
const LONGEST_NAME: usize = 64;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, users and configuration included.
    Admin,
    /// Search, read, store.
    Physician,
    /// Store and search, no pixels.
    Technician,
    /// Search and read only.
    Viewer,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Admin, Self::Physician, Self::Technician, Self::Viewer];

    /// The word in the database, on the command line and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Physician => "physician",
            Self::Technician => "technician",
            Self::Viewer => "viewer",
        }
    }
}

/// Someone whose identity was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub name: String,
    pub roles: Vec<Role>,
}

impl Principal {
    pub fn may_read(&self) -> bool {
        self.roles.iter().any(|r| matches!(r, Role::Admin | Role::Physician | Role::Viewer))
    }

    pub fn may_search(&self) -> bool {
        !self.roles.is_empty()
    }

    pub fn may_store(&self) -> bool {
        self.roles.iter().any(|r| matches!(r, Role::Admin | Role::Physician | Role::Technician))
    }

    pub fn may_delete(&self) -> bool {
        self.is_admin()
    }

    pub fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }
}

/// An API token, without its secret, which nobody can read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub user: String,
    /// What it is for.
    pub name: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_at: i64,
}

impl Archive {
    /// Makes user `admin` if there is no user at all; returns the generated password, shown this once.
    pub async fn first_admin(&self) -> Result<Option<String>, ArchiveError> {
        if sqlx::query(ANY_PERSON).fetch_optional(&self.inner.database.pool).await?.is_some() {
            return Ok(None);
        }
        let password: String = secret().chars().take(20).collect();
        let hash = password::hash(password.clone()).await?;
        let statement = sqlx::query(ADD_FIRST_PERSON).bind("admin").bind(hash).bind(Role::Admin.as_str());
        let added = self.inner.database.execute(statement).await?.rows_affected() == 1;
        Ok(added.then_some(password))
    }

    /// `Conflict` if the name is taken or unusable, or the password is too short (8 characters).
    pub async fn add_user(&self, name: &str, password: &str, roles: &[Role]) -> Result<(), ArchiveError> {
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(|c| c.is_control() || c == ':') {
            let text = format!("a user name has 1 to {LONGEST_NAME} characters, no colon and no control character");
            return Err(ArchiveError::Conflict(text));
        }
        let hash = password::hash(long_enough(password)?).await?;
        let statement = sqlx::query(ADD_PERSON).bind(name).bind(hash).bind(joined(roles));
        if self.inner.database.execute(statement).await?.rows_affected() == 0 {
            return Err(ArchiveError::Conflict(format!("user {name} exists already")));
        }
        Ok(())
    }

    /// Ends the user's sessions too; tokens stay.
    pub async fn set_password(&self, name: &str, password: &str) -> Result<(), ArchiveError> {
        let hash = password::hash(long_enough(password)?).await?;
        let (mut transaction, _turn) = self.inner.database.begin().await?;
        let changed = sqlx::query(SET_PASSWORD).bind(name).bind(hash).execute(&mut *transaction).await?;
        if changed.rows_affected() == 0 {
            return Err(no_user(name));
        }
        sqlx::query(END_SESSIONS).bind(name).execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.inner.believed.forget();
        self.inner.sign_ins.forget(name);
        Ok(())
    }

    /// Removes a user with all sessions and tokens. The last administrator stays.
    pub async fn remove_user(&self, name: &str) -> Result<(), ArchiveError> {
        let (mut transaction, _turn) = self.inner.database.begin().await?;
        sqlx::query(REMOVE_CREDENTIALS).bind(name).execute(&mut *transaction).await?;
        let removed = sqlx::query(REMOVE_PERSON).bind(name).execute(&mut *transaction).await?;
        if removed.rows_affected() == 0 {
            return Err(no_user(name));
        }
        let rest = sqlx::query(PERSONS).fetch_all(&mut *transaction).await?;
        let rest = rest.iter().map(principal).collect::<Result<Vec<_>, _>>()?;
        if !rest.iter().any(Principal::is_admin) {
            return Err(ArchiveError::Conflict(format!("{name} is the last administrator")));
        }
        transaction.commit().await?;
        self.inner.believed.forget();
        Ok(())
    }

    /// All users, by name.
    pub async fn users(&self) -> Result<Vec<Principal>, ArchiveError> {
        sqlx::query(PERSONS).fetch_all(&self.inner.database.pool).await?.iter().map(principal).collect()
    }

    /// Checks a password (constant work for unknown users) and opens a session; returns its secret.
    ///
    /// After some failures in a row from the peer's `address` a name has to wait there, longer each time:
    /// `TooManyAttempts`.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        address: &str,
    ) -> Result<(Principal, String), ArchiveError> {
        if name.contains('\0') || name.chars().count() > LONGEST_NAME {
            // PostgreSQL has no such text, and no user such a name.
            return Err(ArchiveError::Credentials);
        }
        self.inner.sign_ins.admit(name, address)?;
        let row = sqlx::query(PERSON).bind(name).fetch_optional(&self.inner.database.pool).await?;
        let hash = row.as_ref().map(|row| row.try_get::<String, _>(2)).transpose()?;
        let right = password::verify(password.to_owned(), hash).await?;
        let (true, Some(row)) = (right, row) else { return Err(ArchiveError::Credentials) };
        self.inner.sign_ins.forgive(name, address);
        let principal = principal(&row)?;
        let secret = secret();
        self.add_credential(&principal.name, &secret, "", now() + SESSION_MILLIS).await?;
        self.inner.database.execute(sqlx::query(REMOVE_EXPIRED).bind(now())).await?;
        Ok((principal, secret))
    }

    /// Ends a session; an unknown one is over already.
    pub async fn sign_out(&self, session_secret: &str) -> Result<(), ArchiveError> {
        let statement = sqlx::query(END_SESSION).bind(secret_hash(session_secret));
        self.inner.database.execute(statement).await?;
        self.inner.believed.forget();
        Ok(())
    }

    /// Makes an API token for `Authorization: Bearer`; the secret is returned once and only its hash kept.
    pub async fn create_token(&self, user: &str, name: &str) -> Result<String, ArchiveError> {
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(ArchiveError::Conflict(format!("a token name has 1 to {LONGEST_NAME} characters")));
        }
        if sqlx::query(PERSON).bind(user).fetch_optional(&self.inner.database.pool).await?.is_none() {
            return Err(no_user(user));
        }
        let secret = secret();
        match self.add_credential(user, &secret, name, 0).await {
            Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {
                Err(ArchiveError::Conflict(format!("{user} has a token {name} already")))
            }
            Err(e) => Err(e.into()),
            Ok(()) => Ok(secret),
        }
    }

    /// All API tokens, by user and name.
    pub async fn tokens(&self) -> Result<Vec<Token>, ArchiveError> {
        let rows = sqlx::query(TOKENS).fetch_all(&self.inner.database.pool).await?;
        let token = |row: &sqlx::any::AnyRow| -> Result<Token, ArchiveError> {
            Ok(Token { user: row.try_get(0)?, name: row.try_get(1)?, created_at: row.try_get(2)? })
        };
        rows.iter().map(token).collect()
    }

    pub async fn revoke_token(&self, user: &str, name: &str) -> Result<(), ArchiveError> {
        let revoked = self.inner.database.execute(sqlx::query(REVOKE_TOKEN).bind(user).bind(name)).await?;
        if revoked.rows_affected() == 0 {
            return Err(ArchiveError::NotFound(format!("token {name} of {user}")));
        }
        self.inner.believed.forget();
        Ok(())
    }

    /// Who a session secret, API token or JSON Web Token stands for; `None` if unknown or expired. Use prolongs a session.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Principal>, ArchiveError> {
        let hash = secret_hash(secret);
        if let Some(principal) = self.inner.believed.get(&hash) {
            return Ok(Some(principal));
        }
        if Jwt::looks_like(secret) {
            return self.vouched_for(secret).await;
        }
        let row = sqlx::query(CREDENTIAL).bind(&hash).fetch_optional(&self.inner.database.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let expires_at: i64 = row.try_get(2)?;
        if expires_at != 0 {
            if expires_at <= now() {
                return Ok(None);
            }
            self.prolong(&hash, expires_at).await?;
        }
        let principal = principal(&row)?;
        self.inner.believed.put(hash, principal.clone());
        Ok(Some(principal))
    }

    /// The user of a JSON Web Token. It is judged each time: it may end any moment.
    async fn vouched_for(&self, token: &str) -> Result<Option<Principal>, ArchiveError> {
        let user = self.inner.jwt.as_ref().and_then(|jwt| jwt.user(token));
        let Some(user) = user.filter(|user| !user.contains('\0')) else { return Ok(None) };
        let row = sqlx::query(PERSON).bind(user).fetch_optional(&self.inner.database.pool).await?;
        row.as_ref().map(principal).transpose()
    }

    async fn prolong(&self, hash: &str, expires_at: i64) -> Result<(), sqlx::Error> {
        let until = now() + SESSION_MILLIS;
        // Once in a twentieth of its life is often enough, and spares the database a write a request.
        if until - expires_at > SESSION_MILLIS / 20 {
            self.inner.database.execute(sqlx::query(PROLONG).bind(hash).bind(until)).await?;
        }
        Ok(())
    }

    async fn add_credential(
        &self,
        person: &str,
        secret: &str,
        token: &str,
        expires_at: i64,
    ) -> Result<(), sqlx::Error> {
        let statement =
            sqlx::query(ADD_CREDENTIAL).bind(secret_hash(secret)).bind(person).bind(token).bind(now()).bind(expires_at);
        self.inner.database.execute(statement).await?;
        Ok(())
    }
}

/// Secrets checked a moment ago, so that a frame fetch costs no query.
#[derive(Default)]
pub(crate) struct Believed(Mutex<HashMap<String, (Principal, Instant)>>);

impl Believed {
    fn get(&self, hash: &str) -> Option<Principal> {
        let held = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.get(hash).filter(|(_, since)| since.elapsed() < BELIEVED).map(|(principal, _)| principal.clone())
    }

    fn put(&self, hash: String, principal: Principal) {
        let mut held = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if held.len() >= BELIEVED_AT_MOST {
            held.clear();
        }
        held.insert(hash, (principal, Instant::now()));
    }

    fn forget(&self) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

fn long_enough(password: &str) -> Result<String, ArchiveError> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(ArchiveError::Conflict(format!("a password has at least {SHORTEST_PASSWORD} characters")));
    }
    Ok(password.to_owned())
}

fn no_user(name: &str) -> ArchiveError {
    ArchiveError::NotFound(format!("user {name}"))
}

/// Begins with a letter: what begins with a hyphen is taken for an option on a command line.
fn secret() -> String {
    format!("y{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

fn secret_hash(secret: &str) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(secret))
}

fn joined(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" ")
}

/// From a row that starts with name and roles.
fn principal(row: &sqlx::any::AnyRow) -> Result<Principal, ArchiveError> {
    let roles: String = row.try_get(1)?;
    let role = |word: &str| Role::ALL.into_iter().find(|r| r.as_str() == word);
    Ok(Principal { name: row.try_get(0)?, roles: roles.split(' ').filter_map(role).collect() })
}

const ANY_PERSON: &str = "select name from person limit 1";

// Two processes may start at once: only one finds the table empty.
const ADD_FIRST_PERSON: &str = "insert into person (name, password_hash, roles)
    select $1, $2, $3 where not exists (select 1 from person) on conflict (name) do nothing";

const ADD_PERSON: &str = "insert into person (name, password_hash, roles) values ($1, $2, $3)
    on conflict (name) do nothing";

const SET_PASSWORD: &str = "update person set password_hash = $2 where name = $1";

const END_SESSIONS: &str = "delete from credential where person = $1 and token_name = ''";

const REMOVE_CREDENTIALS: &str = "delete from credential where person = $1";

const REMOVE_PERSON: &str = "delete from person where name = $1";

const PERSONS: &str = "select name, roles from person order by name";

const PERSON: &str = "select name, roles, password_hash from person where name = $1";

const ADD_CREDENTIAL: &str = "insert into credential (secret_hash, person, token_name, created_at, expires_at)
    values ($1, $2, $3, $4, $5)";

const REMOVE_EXPIRED: &str = "delete from credential where expires_at <> 0 and expires_at < $1";

const END_SESSION: &str = "delete from credential where secret_hash = $1 and token_name = ''";

const TOKENS: &str = "select person, token_name, created_at from credential where token_name <> ''
    order by person, token_name";

const REVOKE_TOKEN: &str = "delete from credential where person = $1 and token_name = $2 and token_name <> ''";

const CREDENTIAL: &str = "select p.name, p.roles, c.expires_at from credential c join person p on p.name = c.person
    where c.secret_hash = $1";

const PROLONG: &str = "update credential set expires_at = $2 where secret_hash = $1 and expires_at < $2";

#[cfg(test)]
mod tests {
    #[test]
    fn a_secret_is_no_option_of_a_command_line() {
        assert!((0..200).all(|_| super::secret().starts_with(|c: char| c.is_ascii_alphabetic())));
    }
}
