-- Instances whose frames were encoded anew without loss: the stored file is ours, the digest stays that of what came.

-- recompressed: what was received, as JSON; '' where the stored file is what was received. content_key: what the present
-- bytes are remembered under; 0 stands for the row's own key.
alter table instance add column recompressed text not null default '';
alter table instance add column content_key bigint not null default 0;
