-- What the app of the tests notes for its specs.
return {}
