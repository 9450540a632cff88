"""What batch compliance asks about: Tweets or users. Topics, schemas, ids and ledger partitions follow from one table.

Must not know jobs, runs or requests to X.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchType:
    """One type of batch compliance job: what X calls it, and what its results are called here.

    `ledger_partition` is the partition of the batch ledger that belongs to its runs. `answers` are the event types
    whose effect shows in the results of a run about all held ids, or in the absence of an id from them.
    """

    job_type: str
    entity: str
    ledger_partition: int
    answers: frozenset[str]

    @property
    def name(self) -> str:
        """`batch.tweet`: the topic suffix and the record's `event_type`."""
        return f"batch.{self.entity}"

    @property
    def schema(self) -> str:
        """`BatchTweet`: the Avro record's name and its file's stem."""
        return f"Batch{self.entity.capitalize()}"

    @property
    def id_field(self) -> str:
        """`tweet_id`: the record field with the id that was asked about, which is the record key."""
        return f"{self.entity}_id"

    @property
    def source(self) -> str:
        """The CloudEvents `source`."""
        return f"/x/compliance/batch/{self.job_type}"


_OF_TWEETS = frozenset({"tweet.delete", "tweet.edit", "user.scrub-geo"})
_OF_USERS = frozenset(
    {"user.delete", "user.undelete", "user.protect", "user.unprotect", "user.suspend", "user.unsuspend"}
)
BATCH_TYPES = (BatchType("tweets", "tweet", 0, _OF_TWEETS), BatchType("users", "user", 1, _OF_USERS))
"""X documents an action and a reason for each of these (integration guide of batch compliance, "Results"); for no other
event, and it does not document whether dropped Tweets are among the results. An event that undoes another shows in the
id having no result any more.
"""
BY_JOB_TYPE = {batch_type.job_type: batch_type for batch_type in BATCH_TYPES}
