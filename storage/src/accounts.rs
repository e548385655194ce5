//! Users, roles, sessions and API tokens.

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
