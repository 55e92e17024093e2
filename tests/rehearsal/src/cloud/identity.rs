//! Who may do what: domains, projects, users, roles and tokens. Keystone's state, without its HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::setup::CloudSetup;
use super::time::Stamp;

/// A project of the domain Default.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A user of the domain Default.
#[derive(Clone, Debug)]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// Names of its roles, wherever it has any.
    pub roles: Vec<String>,
    /// Ids of its projects.
    pub projects: Vec<String>,
}

/// What its user may do in one project by another secret than the password.
#[derive(Clone, Debug)]
pub struct ApplicationCredential {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its secret.
    pub secret: String,
    /// The id of its user.
    pub user: String,
    /// The id of its project.
    pub project: String,
    /// Names of its roles, which its user has too.
    pub roles: Vec<String>,
}

/// What a token stands for.
#[derive(Clone, Debug)]
pub struct Token {
    /// Who got it.
    pub user: User,
    /// For which project, when for one.
    pub project: Option<Project>,
    /// How it was got: `password`, `application_credential`, `token`.
    pub methods: Vec<String>,
    /// The application credential that it was got with.
    pub credential: Option<ApplicationCredential>,
    /// When it was issued.
    pub issued: Stamp,
    /// When it ends.
    pub expires: Stamp,
    /// Its audit id and that of its parent.
    pub audit: Vec<String>,
}

impl Token {
    /// Whether it has the role admin.
    pub fn is_admin(&self) -> bool {
        self.has_role("admin")
    }

    /// Whether it has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.user.roles.iter().any(|known| known == role)
    }

    /// The id of its project, empty for an unscoped token.
    pub fn project_id(&self) -> &str {
        self.project.as_ref().map_or("", |project| &project.id)
    }
}

/// All of it.
pub struct Identity {
    /// The projects.
    pub projects: Vec<Project>,
    /// The users.
    pub users: Vec<User>,
    /// The application credentials.
    pub credentials: Vec<ApplicationCredential>,
    /// Ids of roles by name.
    pub roles: BTreeMap<String, String>,
    lifetime: Duration,
    tokens: BTreeMap<String, Token>,
}

impl Identity {
    /// Projects and users of a new cloud.
    pub fn new(setup: &CloudSetup) -> Self {
        let projects: Vec<Project> =
            setup.projects.iter().map(|name| Project { id: hex_id(), name: name.clone() }).collect();
        let id_of = |name: &String| projects.iter().find(|p| p.name == *name).map(|p| p.id.clone());
        let users = setup.users.iter().map(|user| User {
            id: hex_id(),
            name: user.name.clone(),
            password: user.password.clone(),
            roles: user.roles.clone(),
            projects: user.projects.iter().filter_map(id_of).collect(),
        });
        let users: Vec<User> = users.collect();
        let credentials = setup.application_credentials.iter().filter_map(|credential| {
            Some(ApplicationCredential {
                id: credential.id.clone(),
                name: credential.name.clone(),
                secret: credential.secret.clone(),
                user: users.iter().find(|user| user.name == credential.user)?.id.clone(),
                project: id_of(&credential.project)?,
                roles: credential.roles.clone(),
            })
        });
        let credentials = credentials.collect();
        let roles = setup.users.iter().flat_map(|user| user.roles.clone()).map(|role| (role, hex_id()));
        Self {
            users,
            credentials,
            roles: roles.collect(),
            lifetime: setup.token_lifetime,
            tokens: BTreeMap::new(),
            projects,
        }
    }

    /// Issues a token; one that was got with another lives no longer than that one.
    pub fn issue(
        &mut self,
        user: &User,
        project: Option<Project>,
        credential: Option<ApplicationCredential>,
        parent: Option<&Token>,
    ) -> (String, Token) {
        let issued = Stamp::now();
        let method = match (parent, &credential) {
            (Some(_), _) => "token",
            (None, Some(_)) => "application_credential",
            (None, None) => "password",
        };
        let mut methods = vec![method.to_owned()];
        let mut audit = vec![short_id()];
        if let Some(parent) = parent {
            methods.extend(parent.methods.iter().filter(|known| *known != method).cloned());
            audit.extend(parent.audit.last().cloned());
        }
        let token = Token {
            user: user.clone(),
            project,
            methods,
            credential,
            issued,
            expires: parent.map_or(issued.after(self.lifetime), |parent| parent.expires),
            audit,
        };
        let id = format!("gAAAAA{}{}", hex_id(), hex_id());
        self.tokens.insert(id.clone(), token.clone());
        (id, token)
    }

    /// The token of that id, while it is good.
    pub fn token(&self, id: &str) -> Option<Token> {
        self.tokens.get(id).filter(|token| Stamp::now() < token.expires).cloned()
    }

    /// Ends a token.
    pub fn revoke(&mut self, id: &str) {
        self.tokens.remove(id);
    }

    /// Ends all tokens, as when their time is over.
    pub fn revoke_all(&mut self) {
        self.tokens.clear();
    }
}

/// 32 hexadecimal digits, as Keystone's ids.
pub fn hex_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A UUID, as everybody else's.
pub fn uuid() -> String {
    Uuid::new_v4().to_string()
}

fn short_id() -> String {
    hex_id().chars().take(22).collect()
}
