-- Whether anything of any kind is due is asked every second.
create index job_open on job (due_at) where state in ('due', 'leased');
