-- Peers that are called by TLS, and the certificate that a call in a peer's name must show (SHA-256; '' is any or none).
alter table peer add column tls bigint not null default 0;
alter table peer add column certificate text not null default '';
