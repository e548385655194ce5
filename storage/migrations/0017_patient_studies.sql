-- A patient's studies are counted in an attribute that can be asked for (PS3.4 C.6.1.1.2): the column has its name.
alter table patient rename column number_of_studies to number_of_patient_related_studies;
