"""What batch compliance asks about: Tweets or users. Topics, schemas, ids and ledger partitions follow from one table.

Must not know jobs, runs or how X is asked.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchType:
    """One type of batch compliance job: what X calls it, and what its results are called here.

    `ledger_partition` is the partition of the batch ledger that belongs to its runs.
    """

    job_type: str
    entity: str
    ledger_partition: int

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


BATCH_TYPES = (BatchType("tweets", "tweet", 0), BatchType("users", "user", 1))
BY_JOB_TYPE = {batch_type.job_type: batch_type for batch_type in BATCH_TYPES}
