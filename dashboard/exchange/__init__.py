"""One case as a report that others can read: FHIR bundles, a page of PDF, a table; nothing in it names a patient."""
