// The platform's own user: it reads and writes its database and nothing else. Run once, when the volume is empty.
const password = require("fs").readFileSync("/run/secrets/flame_password", "utf8").trim();

db.getSiblingDB("flame").createUser({
  user: "flame",
  pwd: password,
  roles: [{ role: "readWrite", db: "flame" }],
});
