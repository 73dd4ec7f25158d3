-- The keys of Once and their outcomes. One row per key within the retention.
CREATE TABLE IF NOT EXISTS {p}once (
	khash       {bytes32} NOT NULL PRIMARY KEY, -- of scope and id
	claim       {bytes16} NOT NULL, -- whose claim it is
	scope       {name} NOT NULL,
	id          {name} NOT NULL,
	fingerprint {bytes32} NOT NULL, -- of the request
	status      {int} NOT NULL, -- 0 claimed (never committed so), 1 done, 2 rejected
	code        {word} NOT NULL, -- of a rejection
	detail      {text} NOT NULL,
	outcome     {bytes},
	claimed_at  {long} NOT NULL -- µs since 1970, as all times here
	@mariadb , KEY {i}once_claimed_at (claimed_at)
){plain};
@others CREATE INDEX IF NOT EXISTS {i}once_claimed_at ON {p}once (claimed_at);

-- One row: what was claimed before this time may have been removed. It only grows.
CREATE TABLE IF NOT EXISTS {p}once_horizon (
	one {int} NOT NULL PRIMARY KEY,
	at  {long} NOT NULL
){plain};

-- One row per ordering key. Send holds it until its transaction ends.
CREATE TABLE IF NOT EXISTS {p}outbox_keys (
	okey    {bytes16} NOT NULL PRIMARY KEY,
	last    {long} NOT NULL, -- the number of the key's last message
	added   {long} NOT NULL, -- scratch: how many a statement adds
	used_at {long} NOT NULL
){hot};

-- What is committed and not delivered yet.
CREATE TABLE IF NOT EXISTS {p}outbox_messages (
	{message},
	PRIMARY KEY (okey, n)
){churn};

-- Keys whose next message failed, and when it is tried again.
CREATE TABLE IF NOT EXISTS {p}outbox_stuck (
	okey     {bytes16} NOT NULL PRIMARY KEY,
	n        {long} NOT NULL, -- the message
	attempts {long} NOT NULL,
	due_at   {long} NOT NULL,
	unknown  {int} NOT NULL, -- 1: an attempt may have been delivered
	error    {text} NOT NULL,
	give_up  {long} NOT NULL -- the n of the message that is to be given up when it fails again
){small};

-- Messages that were given up.
CREATE TABLE IF NOT EXISTS {p}outbox_dead (
	dead_id  {serial},
	{message},
	died_at  {long} NOT NULL,
	attempts {long} NOT NULL,
	unknown  {int} NOT NULL,
	error    {text} NOT NULL
){plain};

-- Messages that were delivered, if the relay keeps them.
CREATE TABLE IF NOT EXISTS {p}outbox_delivered (
	{message},
	delivered_at {long} NOT NULL,
	PRIMARY KEY (okey, n)
	@mariadb , KEY {i}outbox_delivered_at (delivered_at)
){plain};
@others CREATE INDEX IF NOT EXISTS {i}outbox_delivered_at ON {p}outbox_delivered (delivered_at);

-- Who may deliver the keys between lo and hi. The token fences former owners.
CREATE TABLE IF NOT EXISTS {p}outbox_leases (
	part       {int} NOT NULL PRIMARY KEY,
	lo         {bound} NOT NULL,
	hi         {bound} NOT NULL,
	owner      {word} NOT NULL,
	token      {long} NOT NULL,
	turns      {long} NOT NULL, -- grows with every change of the row
	lasts      {long} NOT NULL, -- µs from a turn to its expires_at
	expires_at {long} NOT NULL
){hot};

-- The relays that live, by which they share the partitions.
CREATE TABLE IF NOT EXISTS {p}outbox_relays (
	owner   {word} NOT NULL PRIMARY KEY,
	seen_at {long} NOT NULL
){hot};
