"""Volumes in files, opened lazily and written whole or not at all.

A volume has voxels, a voxel size, an offset and axes.
"""

from clew.volumes.affinities import affinity_attributes as affinity_attributes
from clew.volumes.affinities import affinity_offsets as affinity_offsets
from clew.volumes.formats.nml import read_nml as read_nml
from clew.volumes.open import list_datasets as list_datasets
from clew.volumes.open import open_volume as open_volume
from clew.volumes.save import WritableVolume as WritableVolume
from clew.volumes.save import boxes as boxes
from clew.volumes.save import create_volume as create_volume
from clew.volumes.save import output_target as output_target
from clew.volumes.save import save_volume as save_volume
from clew.volumes.tables import Table as Table
from clew.volumes.tables import check_table_path as check_table_path
from clew.volumes.tables import load_table as load_table
from clew.volumes.tables import save_table as save_table
from clew.volumes.volume import Volume as Volume
