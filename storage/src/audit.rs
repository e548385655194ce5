//! Who saw and changed what (PS3.15 A.5): append only, each row chained to the one before by its hash.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Milliseconds since 1970-01-01 UTC; set by the archive when 0.
    pub at: i64,
    pub action: AuditAction,
    /// User name or AE title.
    pub actor: String,
    /// Network address, or the path of an import.
    pub origin: String,
    pub success: bool,
    pub study: Option<String>,
    /// UIDs, query keys (never patient values) or a reason.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    /// 110100
    ApplicationStart,
    ApplicationStop,
    /// 110114 login, logout, failed login
    SignIn,
    SignOut,
    /// 110112
    Query,
    /// 110103
    Read,
    /// 110104 instances came in
    Store,
    /// 110105
    Delete,
    /// 110113 refused association, failed authorisation
    SecurityAlert,
    /// 110137 users, tokens, peers changed
    Configuration,
}
