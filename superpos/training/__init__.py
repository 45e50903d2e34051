"""How one model is trained: its configuration, the one loop, and what it returns. Nothing here knows of many models."""

from superpos.training.continuing import more as more
from superpos.training.loop import train as train
from superpos.training.run_record import Run as Run
from superpos.training.train_config import TrainConfig as TrainConfig
