"""Objects of a bucket: listed, read and written on conditions. The home of boto3."""
